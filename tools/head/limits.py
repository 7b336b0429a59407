"""What keeps pairs of shapes from colliding where a plain sum of morph targets would.

glTF adds morph targets up, so a pair that needs a corrective is toned down before the weights reach the mesh. The
rules travel in the file (`extras.limits` of its root node) and every facewave viewer obeys them, for all meshes but the
eyeballs; other players show the plain sum.
"""

from __future__ import annotations

from collections.abc import Mapping

CAPS: tuple[tuple[str, str], ...] = (("mouthClose", "jawOpen"),)
"""(shape, other): the shape's weight never exceeds the other's."""

_BOTH: tuple[tuple[str, str, float], ...] = (
    ("eyeSquint", "eyeBlink", 1.0),
    ("cheekSquint", "eyeBlink", 0.75),
    ("cheekSquint", "eyeSquint", 0.5),
    ("eyeWide", "eyeBlink", 1.0),
    ("eyeWide", "eyeLookUp", 0.6),
    ("eyeLookDown", "eyeBlink", 1.0),
    ("eyeLookUp", "eyeBlink", 1.0),
    ("cheekSquint", "mouthSmile", 0.3),
    ("browDown", "noseSneer", 0.3),
    ("browOuterUp", "browInnerUp", 0.25),
    ("mouthSmile", "mouthPucker", 0.6),
    ("mouthSmile", "mouthFunnel", 0.5),
    ("mouthStretch", "mouthSmile", 0.6),
    ("mouthStretch", "mouthPucker", 0.5),
    ("mouthDimple", "mouthPucker", 0.5),
    ("mouthUpperUp", "noseSneer", 0.5),
    ("mouthLowerDown", "jawOpen", 0.5),
    ("mouthUpperUp", "jawOpen", 0.4),
    ("mouthPress", "mouthRollLower", 0.5),
    ("mouthPress", "jawOpen", 0.6),
    ("mouthFrown", "mouthSmile", 0.5),
)
_SINGLE: tuple[tuple[str, str, float], ...] = (
    ("mouthPucker", "mouthFunnel", 0.45),
    ("mouthFunnel", "jawOpen", 0.35),
    ("mouthShrugLower", "mouthRollLower", 0.6),
    ("mouthShrugLower", "mouthPucker", 0.5),
    ("mouthShrugLower", "jawOpen", 0.5),
    ("mouthRollLower", "jawOpen", 0.55),
    ("mouthRollLower", "mouthFunnel", 0.7),
    ("mouthRollUpper", "mouthFunnel", 0.7),
    ("mouthRollLower", "mouthPucker", 0.5),
    ("mouthRollUpper", "mouthPucker", 0.5),
    ("mouthLeft", "jawOpen", 0.4),
    ("mouthRight", "jawOpen", 0.4),
    ("mouthSmileLeft", "mouthLeft", 0.5),
    ("mouthSmileRight", "mouthRight", 0.5),
)
_SIDED = ("eye", "cheekSquint", "brow", "nose", "mouthSmile", "mouthStretch", "mouthDimple", "mouthUpperUp",
          "mouthLowerDown", "mouthPress", "mouthFrown")  # fmt: skip


def _sided(name: str) -> bool:
    return name.startswith(_SIDED) and name != "browInnerUp"


FADES: tuple[tuple[str, str, float], ...] = (
    *(
        (f"{shape}{side}", f"{by}{side}" if _sided(by) else by, amount)
        for shape, by, amount in _BOTH
        for side in ("Left", "Right")
    ),
    *_SINGLE,
)
"""(shape, by, amount): the shape's weight is multiplied by 1 - amount * (weight of `by`), with the weights as given."""


def limited(weights: Mapping[str, float]) -> dict[str, float]:
    """Weights 0..1 by shape name -> the weights to give to the mesh."""
    out = dict(weights)
    for shape, by, amount in FADES:
        if shape in out and by in weights:
            out[shape] *= 1 - amount * min(max(weights[by], 0.0), 1.0)
    for shape, other in CAPS:
        if shape in out:
            out[shape] = min(out[shape], max(weights.get(other, 0.0), 0.0))
    return out


def as_extras() -> dict[str, list[list[str | float]]]:
    """The rules as they stand in the file."""
    return {"caps": [list(rule) for rule in CAPS], "fades": [list(rule) for rule in FADES]}
