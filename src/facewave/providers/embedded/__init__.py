"""The bundled provider: a small network trained by `training/`, and its map from the mouth to blend shapes."""
