"""Networks run over a stream: which windows, in which order, with which state."""
