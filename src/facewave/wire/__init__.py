"""Between facewave's values and what travels: pure conversions, no sockets."""
