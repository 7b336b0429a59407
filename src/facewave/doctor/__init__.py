"""What is here, what works and what to do about the rest: the report behind `facewave doctor`."""
