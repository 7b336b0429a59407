"""From a network's output to finished weights: expression, face parameters, smoothing, multipliers."""
