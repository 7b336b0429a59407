"""Channel maps from TOML: what each channel of an animation is called, or which others it moves, on another rig.

[channels]
Jaw_Drop = "jawOpen"                       # another name
mouthSmileLeft = { smile = 0.5 }           # half of it moves `smile`
mouthPucker = { pucker = 1.0, funnel = 0.3 }
cheekPuff = {}                             # left out
"""

from __future__ import annotations

import math
import tomllib
from pathlib import Path

from .blendshapes import canonical
from .errors import SettingsError

TABLE = "channels"
"""The one table of the file."""


def read_channel_map(path: Path) -> dict[str, dict[str, float]]:
    """Channel -> the channels it moves, each with its factor; any spelling of the 68 channels means them.

    Raises:
        SettingsError: Missing, not TOML, or an entry that is neither a name nor a table of numbers; says which.
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"channel map {path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"channel map {path}: not valid TOML ({error})") from error
    others = sorted(set(document) - {TABLE})
    entries = document.get(TABLE)
    if others or not isinstance(entries, dict):
        found = f"found {', '.join(others)}" if others else "there is none"
        raise SettingsError(f"channel map {path}: expected one table [{TABLE}], {found}")
    return {_channel(name): _moved(path, name, value) for name, value in entries.items()}


def _channel(name: str) -> str:
    return canonical(name) or name


def _moved(path: Path, name: str, value: object) -> dict[str, float]:
    if isinstance(value, str) and value.strip():
        return {_channel(value.strip()): 1.0}
    if isinstance(value, dict):
        factors = {_channel(str(other)): factor for other, factor in value.items()}
        if all(isinstance(factor, int | float) and math.isfinite(factor) for factor in factors.values()):
            return {other: float(factor) for other, factor in factors.items()}
    raise SettingsError(
        f"channel map {path}: {name}: found {value!r}, expected a channel's name or a table of channels and factors"
    )
