"""A model folder in NVIDIA's format: its files read, checked and described."""
