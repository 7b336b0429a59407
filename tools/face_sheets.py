"""Contact sheets of what the animation layer does to the head: ten emotions, and each face parameter at both ends.

    python -m tools.face_sheets      # writes docs/images/emotions.png and docs/images/face_parameters.png

Drawn with the viewer's three.js in headless Chromium, as the sheet of the head's shapes is; needs `playwright` and
`pillow`.
"""

from __future__ import annotations

import argparse
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facewave.animation.expression import POSES, combined
from facewave.animation.face import FaceControl
from facewave.blendshapes import CHANNELS, INDEX
from facewave.emotions import EMOTIONS
from facewave.parameters import FACE_PARAMETERS
from facewave.providers.embedded.articulation import PARAMETERS, to_blendshapes

from .head.contact_sheet import cell as picture
from .head.contact_sheet import render

ROOT = Path(__file__).resolve().parents[1]
FPS = Fraction(60)
CELL = 170
STEP_FRAMES = 6
"""Frames after the mouth has opened at which smoothing is shown: 100 ms."""

VOWEL = {"jaw": 0.5, "lowdn": 0.35, "upup": 0.2, "spread": 0.25}
VIEWS = {"lip": "mouth", "tongue": "mouth"}


def mouth(**values: float) -> NDArray[np.float32]:
    """Blend shapes of a mouth, shape (1, 68)."""
    return to_blendshapes(np.array([[values.get(name, 0.0) for name in PARAMETERS]], np.float32))


def cell(label: str, weights: NDArray[np.float32], view: str = "near") -> dict[str, Any]:
    """One picture: weights of shape (68,); the viewer applies the head's own limits."""
    return picture(label, {name: float(np.clip(weights[INDEX[name]], 0, 1)) for name in CHANNELS}, view)


def emotion_cells() -> list[dict[str, Any]]:
    """Each emotion at full strength: at rest, on an open vowel, and with the lips closed for /m/."""
    spoken = (("", mouth(), 0.0), ("says a", mouth(**VOWEL), 0.0), ("says m", mouth(**VOWEL, close=1.0), 1.0))
    rows = []
    for said, speech, closure in spoken:
        for emotion in EMOTIONS:
            pose = POSES[[EMOTIONS.index(emotion)]].copy()
            if said:
                pose[:, INDEX["jawOpen"]] = 0  # speech has the jaw to itself, nearly
            face = combined(speech, pose, np.array([closure], np.float32))[0]
            rows.append(cell(f"{emotion} {said}".strip(), face))
    return rows


def parameter_cells() -> list[dict[str, Any]]:
    """Each face parameter at its lowest and its highest value, on a face that speaks and feels."""
    base = mouth(**VOWEL)
    for name, value in (("browInnerUp", 0.5), ("browOuterUpLeft", 0.5), ("browOuterUpRight", 0.5),
                        ("noseSneerLeft", 0.4), ("noseSneerRight", 0.4), ("mouthSmileLeft", 0.3),
                        ("mouthSmileRight", 0.3)):  # fmt: skip
        base[0, INDEX[name]] = value
    cells = []
    for row in FACE_PARAMETERS:
        face = base.copy()
        if row.name == "blinkStrength":
            face[0, [INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]] = 0.5
        if row.name.startswith("tongue"):
            face[0, INDEX["tongueTipUp"]] = 0.5
        if row.name.startswith("faceMask"):
            other = {"upperFaceStrength": 0.0}
        else:
            other = {}
        view = next((view for start, view in VIEWS.items() if row.name.startswith(start)), "near")
        for value in (row.minimum, row.maximum):
            control = FaceControl({row.name: value, **other}, FPS)
            frames = np.repeat(face, STEP_FRAMES + 1, axis=0)
            if row.unit == "s":
                frames[0] = 0
            moved = control(frames, np.zeros(len(frames), np.float32))[-1]
            also = "".join(f", {name} {number:g}" for name, number in other.items())
            cells.append(cell(f"{row.name} {value:g}{also}", moved, view))
    return cells


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images", help="folder for the two pictures")
    options = parser.parse_args()
    for name, cells, columns in (("emotions", emotion_cells(), 10), ("face_parameters", parameter_cells(), 8)):
        with tempfile.TemporaryDirectory() as folder:
            drawn = Path(folder) / "drawn.png"
            render(cells, drawn, CELL, columns)
            shrink(drawn, options.out / f"{name}.png")


def shrink(drawn: Path, out: Path) -> None:
    """A picture of 256 colours without the empty part of the page, written whole."""
    from PIL import Image, ImageChops

    with Image.open(drawn) as picture:
        full = picture.convert("RGB")
    empty = Image.new("RGB", full.size, full.getpixel((0, 0)))
    box = ImageChops.difference(full, empty).getbbox()
    height = min(full.height, (box[3] if box else full.height) + 6)
    small = full.crop((0, 0, full.width, height)).quantize(256, method=Image.Quantize.MEDIANCUT)
    temporary = out.with_suffix(".part")
    small.save(temporary, "PNG", optimize=True)
    temporary.replace(out)


if __name__ == "__main__":
    main()
