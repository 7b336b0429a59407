"""The live runtime: characters that speak while the program runs."""
