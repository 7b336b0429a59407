"""How fast facewave is: `python -m benchmarks.speed` runs every measurement here and prints a table for each."""
