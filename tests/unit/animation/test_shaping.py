from __future__ import annotations

import numpy as np

from facewave.animation.shaping import BlendShapeShaping


def test_multiplier_then_offset_then_clamp() -> None:
    weights = np.array([[0.5, 0.5, 0.9]], np.float32)
    shape = BlendShapeShaping(["a", "b", "c"], {"a": 2.0, "c": 2.0}, {"a": 0.25, "b": -0.75})
    np.testing.assert_allclose(shape(weights), [[1.25, -0.25, 1.8]])
    clamped = BlendShapeShaping(["a", "b", "c"], {"a": 2.0, "c": 2.0}, {"a": 0.25, "b": -0.75}, clamp=True)
    np.testing.assert_allclose(clamped(weights), [[1.0, 0.0, 1.0]])


def test_nothing_asked_changes_nothing() -> None:
    weights = np.array([[1.5, -0.5]], np.float32)
    assert BlendShapeShaping(["a", "b"], {}, {})(weights) is weights
