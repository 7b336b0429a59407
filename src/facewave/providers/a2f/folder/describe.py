"""A model folder in words and numbers, for people."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

from ....timing import SAMPLE_RATE
from .bundle import Bundle, DiffusionBundle, EmotionBundle, RegressionBundle
from .face_data import Identity
from .json_file import read_json

Rows = list[tuple[str, str]]


def describe(bundle: Bundle, source: str = "") -> list[tuple[str, Rows]]:
    """Titled lists of (label, value); reads nothing large."""
    if isinstance(bundle, EmotionBundle):
        sections = [("Audio2Emotion model", _emotion(bundle))]
    else:
        sections = [(f"{bundle.kind} model", _face(bundle))]
        sections += [(f"identity {identity.name}", _identity(identity)) for identity in bundle.identities]
    files = [(path.name, f"{path.stat().st_size / 1e6:.2f} MB") for path in files_of(bundle) if path.is_file()]
    sections.append((f"files in {bundle.folder}", files))
    sections.append(("licence", [(_licence(bundle), f"from {source}" if source else "added from a folder")]))
    return sections


def identities_of(bundle: Bundle) -> list[str]:
    """Names of the identities; none of an Audio2Emotion model."""
    return [] if isinstance(bundle, EmotionBundle) else [identity.name for identity in bundle.identities]


def files_of(bundle: Bundle) -> list[Path]:
    """The network and the data files."""
    if isinstance(bundle, EmotionBundle):
        return [bundle.network]
    return [bundle.network, *(path for identity in bundle.identities for path in identity.files())]


def size_of(bundle: Bundle) -> int:
    """Bytes of those files."""
    return sum(path.stat().st_size for path in files_of(bundle) if path.is_file())


def _face(bundle: RegressionBundle | DiffusionBundle) -> Rows:
    sizes = bundle.sizes
    rows: Rows = [
        ("output row", f"{sizes.total}: skin {sizes.skin}, tongue {sizes.tongue}, jaw {sizes.jaw}, eyes {sizes.eyes}"),
        ("emotions", ", ".join(bundle.emotions)),
        ("window", f"{bundle.buffer_length} samples ({bundle.buffer_length / SAMPLE_RATE:g} s)"),
    ]
    if isinstance(bundle, RegressionBundle):
        rows.append(("frame's place in the window", f"sample {bundle.buffer_offset}"))
        rows.append(("implicit emotion", f"{len(bundle.implicit_emotion)} values"))
        rows.append(("frame rate", "any"))
        return rows
    rate = bundle.frames * SAMPLE_RATE / bundle.buffer_length
    rows.append(
        (
            "frames in a window",
            f"{bundle.frames_left} dropped, {bundle.frames_center} kept, {bundle.frames_right} dropped",
        )
    )
    rows.append(("diffusion steps", str(bundle.steps)))
    rows.append(("recurrent state", f"{bundle.layers} layers of {bundle.latent}"))
    rows.append(("frame rate", f"{rate:g}"))
    return rows


def _identity(identity: Identity) -> Rows:
    skin, tongue, jaw = identity.sizes
    parts = ", ".join(identity.poses) or "none"
    rows: Rows = [
        ("mesh", f"{skin // 3} skin and {tongue // 3} tongue vertices, {jaw // 3} jaw points"),
        ("blend shapes", parts),
        ("input_strength", f"{identity.input_strength:g}"),
    ]
    for group in (identity.skin, identity.tongue, identity.teeth, identity.eyes):
        rows += [(field.name, f"{getattr(group, field.name):g}") for field in fields(group)]
    return rows


def _emotion(bundle: EmotionBundle) -> Rows:
    config = bundle.config
    places = ", ".join(
        f"{name} {'dropped' if place < 0 else f'-> {place}'}"
        for name, place in zip(bundle.classes, config.correspondence.tolist(), strict=True)
    )
    return [
        ("classes", places),
        ("output length", str(config.output_length)),
        ("contrast", f"{config.contrast:g}"),
        ("max_emotions", str(config.max_emotions)),
        ("live_blend_coef", f"{config.live_blend:g}"),
        ("transition_smoothing", f"{config.transition_s:g} s"),
        ("emotion_strength", f"{config.strength:g}"),
    ]


def _licence(bundle: Bundle) -> str:
    """What the folder itself says about its licence."""
    for path in sorted(bundle.folder.iterdir()):
        if path.is_file() and path.name.lower().startswith(("license", "licence")):
            return f"see {path.name}"
    entry = bundle.folder / "model.json"
    if entry.is_file() and "license" in read_json(entry):
        return str(read_json(entry).values["license"])
    return "none stated in the folder; NVIDIA's published models come under NVIDIA's Open Model License"
