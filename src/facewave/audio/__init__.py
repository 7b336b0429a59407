"""Audio on its way in: files and arrays of any rate become mono float32 at 16 kHz."""
