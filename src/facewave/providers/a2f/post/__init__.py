"""From network output to weights and vertices: animators, the blend-shape solver, the collapsed path."""
