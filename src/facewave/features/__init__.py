"""What the networks hear: features computed from samples, the same code in training and at run time."""
