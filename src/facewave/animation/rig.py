"""A rig's profile: which of its targets follow which channels, how strongly, and what must not be combined.

A profile is a TOML file, made by `facewave calibrate` and then edited by hand; the shipped ones lie in `data/rigs`.
Unknown keys and names are errors, so that a misspelling never passes for a setting.
"""

from __future__ import annotations

import difflib
import json
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from ..blendshapes import CHANNELS, require
from ..errors import SettingsError

FORMAT = 1
"""Version of the file's form."""


@dataclass(frozen=True, slots=True)
class Cap:
    """A channel that never exceeds a share of another."""

    channel: str
    """What is held down."""

    under: str
    """What holds it down."""

    share: float = 1.0
    """channel <= share * under; 0 or more."""


@dataclass(frozen=True, slots=True)
class Fade:
    """A channel that gives way to another: channel *= 1 - amount * by."""

    channel: str
    """What gives way."""

    by: str
    """What it gives way to, as it was before any limit."""

    amount: float
    """0..1: 1 gives way fully."""


@dataclass(frozen=True, slots=True)
class Sum:
    """Channels that together stay below a bound; where they exceed it, all shrink alike."""

    channels: tuple[str, ...]
    """At least two."""

    most: float
    """Largest sum, above 0."""


@dataclass(frozen=True, slots=True)
class Rig:
    """How weights by channel become a rig's own values."""

    name: str
    """What the rig is called."""

    targets: Mapping[str, Mapping[str, float]]
    """Target -> channel -> weight, in the rig's order: a target's value is the sum of weight * channel."""

    gain: Mapping[str, float] = field(default_factory=dict)
    """Channel -> factor; 1 where absent."""

    offset: Mapping[str, float] = field(default_factory=dict)
    """Channel -> number added after the factor; 0 where absent."""

    caps: tuple[Cap, ...] = ()
    """Applied after gains and offsets, last of the limits."""

    fades: tuple[Fade, ...] = ()
    """Applied after gains and offsets, first of the limits."""

    sums: tuple[Sum, ...] = ()
    """Applied between them."""

    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Target -> (lowest, highest) value; `default_limits` where absent."""

    default_limits: tuple[float, float] = (0.0, 1.0)
    """Lowest and highest value of every other target."""

    profile: str = ""
    """The shipped profile it began from."""

    notes: str = ""
    """What a user of this rig should know."""


@cache
def shipped() -> tuple[str, ...]:
    """Names of the profiles in the package."""
    folder = resources.files("facewave") / "data" / "rigs"
    return tuple(sorted(Path(entry.name).stem for entry in folder.iterdir() if entry.name.endswith(".toml")))


def load_rig(source: str | Path) -> Rig:
    """A profile by its shipped name, or from a TOML file.

    Raises:
        SettingsError: Neither, or a file with an unknown key, name or value; says where.
    """
    if str(source) in shipped() and not Path(source).exists():
        entry = resources.files("facewave") / "data" / "rigs" / f"{source}.toml"
        return parse_rig(entry.read_text(encoding="utf-8"), f"profile {source}")
    path = Path(source)
    try:
        return parse_rig(path.read_text(encoding="utf-8"), f"rig {path}")
    except OSError as error:
        raise SettingsError(
            f"rig {path}: cannot be read ({error.strerror}), expected a TOML file as `facewave calibrate` writes it, "
            f"or one of: {', '.join(shipped())}"
        ) from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"rig {path}: not text in UTF-8, expected TOML ({error.reason})") from error


def parse_rig(text: str, where: str) -> Rig:
    """A profile from its TOML text; `where` begins every message.

    Raises:
        SettingsError: Says which key, what was found and what was expected.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{where}: not valid TOML ({error})") from error
    keys = ("format", "name", "profile", "notes", "limits", "gain", "offset", "cap", "fade", "sum", "targets", "range")
    _known(document, keys, where)
    if document.get("format") != FORMAT:
        raise SettingsError(f"{where}: format: found {document.get('format')!r}, expected {FORMAT}")
    targets = {name: _row(row, f"{where}: targets.{name}") for name, row in _table(document, "targets", where).items()}
    if not targets:
        raise SettingsError(f"{where}: found no [targets], expected the rig's target names")
    ranges = {name: _pair(value, f"{where}: range.{name}") for name, value in _table(document, "range", where).items()}
    for name in ranges:
        if name not in targets:
            raise SettingsError(f"{where}: range.{name}: no such target{_hint(name, targets)}")
    return Rig(
        name=_text(document, "name", where) or "rig",
        targets=targets,
        gain=_by_channel(document, "gain", where),
        offset=_by_channel(document, "offset", where),
        caps=tuple(_cap(entry, at) for entry, at in _entries(document, "cap", where)),
        fades=tuple(_fade(entry, at) for entry, at in _entries(document, "fade", where)),
        sums=tuple(_sum(entry, at) for entry, at in _entries(document, "sum", where)),
        limits=ranges,
        default_limits=_pair(document.get("limits", [0.0, 1.0]), f"{where}: limits"),
        profile=_text(document, "profile", where),
        notes=_text(document, "notes", where),
    )


def format_rig(rig: Rig, comments: Iterable[str] = ()) -> str:
    """The TOML text of a profile, which `parse_rig` reads back; `comments` are lines put at its head."""
    lines = [f"# {comment}".rstrip() for comment in comments]
    lines += [f"format = {FORMAT}", f"name = {_quoted(rig.name)}"]
    lines += [f"profile = {_quoted(rig.profile)}"] if rig.profile else []
    lines += [f"notes = {_quoted(rig.notes)}"] if rig.notes else []
    low, high = rig.default_limits
    lines += ["", "# Lowest and highest value of a target; [range] sets others for single targets."]
    lines += [f"limits = [{low:g}, {high:g}]"]
    lines += ["", "# channel * gain + offset comes first: raise a gain where the rig moves too little."]
    for title, values in (("gain", rig.gain), ("offset", rig.offset)):
        lines += [f"[{title}]", *(f"{name} = {value:g}" for name, value in values.items()), ""]
    lines += ["# A channel gives way to another, channels share a bound, a channel stays under another."]
    for fade in rig.fades:
        lines += ["[[fade]]", f'channel = "{fade.channel}"', f'by = "{fade.by}"', f"amount = {fade.amount:g}", ""]
    for total in rig.sums:
        lines += ["[[sum]]", f"channels = {json.dumps(list(total.channels))}", f"most = {total.most:g}", ""]
    for cap in rig.caps:
        lines += ["[[cap]]", f'channel = "{cap.channel}"', f'under = "{cap.under}"', f"share = {cap.share:g}", ""]
    lines += ["# The rig's own names, each with the channel it follows, or the weighted sum of several.", "[targets]"]
    lines += [f"{_quoted(name)} = {_row_text(row)}" for name, row in rig.targets.items()]
    if rig.limits:
        lines += ["", "[range]"]
        lines += [f"{_quoted(name)} = [{low:g}, {high:g}]" for name, (low, high) in rig.limits.items()]
    return "\n".join(lines) + "\n"


def scaled(rig: Rig, factor: float) -> Rig:
    """The same rig with values `factor` times as large, as 100 for rigs whose values are percentages."""
    return replace(
        rig,
        targets={
            name: {channel: weight * factor for channel, weight in row.items()} for name, row in rig.targets.items()
        },
        limits={name: (low * factor, high * factor) for name, (low, high) in rig.limits.items()},
        default_limits=(rig.default_limits[0] * factor, rig.default_limits[1] * factor),
    )


def _row_text(row: Mapping[str, float]) -> str:
    if len(row) == 1 and next(iter(row.values())) == 1:
        return f'"{next(iter(row))}"'
    return "{ " + ", ".join(f"{channel} = {weight:g}" for channel, weight in row.items()) + " }" if row else "{}"


def _quoted(text: str) -> str:
    # A JSON string is a TOML basic string, once DEL is written as an escape.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _row(value: Any, where: str) -> dict[str, float]:
    if isinstance(value, str):
        return {_channel(value, where): 1.0}
    if isinstance(value, Mapping):
        return {_channel(name, where): _number(weight, f"{where}.{name}") for name, weight in value.items()}
    raise SettingsError(f"{where}: found {value!r}, expected a channel, or a table of channel = weight")


def _cap(entry: Mapping[str, Any], where: str) -> Cap:
    _known(entry, ("channel", "under", "share"), where)
    share = _number(entry.get("share", 1.0), f"{where}: share", low=0)
    return Cap(_named(entry, "channel", where), _named(entry, "under", where), share)


def _fade(entry: Mapping[str, Any], where: str) -> Fade:
    _known(entry, ("channel", "by", "amount"), where)
    amount = _number(entry.get("amount", 1.0), f"{where}: amount", low=0, high=1)
    return Fade(_named(entry, "channel", where), _named(entry, "by", where), amount)


def _sum(entry: Mapping[str, Any], where: str) -> Sum:
    _known(entry, ("channels", "most"), where)
    names = entry.get("channels")
    if not isinstance(names, list) or len(names) < 2:
        raise SettingsError(f"{where}: channels: found {names!r}, expected a list of two or more channels")
    most = _number(entry.get("most", 1.0), f"{where}: most", low=1e-6)
    return Sum(tuple(_channel(name, f"{where}: channels") for name in names), most)


def _entries(document: Mapping[str, Any], key: str, where: str) -> Iterable[tuple[Mapping[str, Any], str]]:
    entries = document.get(key, [])
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise SettingsError(f"{where}: {key}: found {entries!r}, expected tables [[{key}]]")
    return [(entry, f"{where}: [[{key}]] number {number + 1}") for number, entry in enumerate(entries)]


def _by_channel(document: Mapping[str, Any], key: str, where: str) -> dict[str, float]:
    return {
        _channel(name, f"{where}: {key}"): _number(value, f"{where}: {key}.{name}")
        for name, value in _table(document, key, where).items()
    }


def _named(entry: Mapping[str, Any], key: str, where: str) -> str:
    if key not in entry:
        raise SettingsError(f"{where}: key {key!r} is missing, expected a channel")
    return _channel(entry[key], f"{where}: {key}")


def _channel(name: Any, where: str) -> str:
    if not isinstance(name, str):
        raise SettingsError(f"{where}: found {name!r}, expected a channel such as {CHANNELS[17]}")
    try:
        return require(name)
    except SettingsError as error:
        raise SettingsError(f"{where}: {error}") from error


def _table(document: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    value = document.get(key, {})
    if not isinstance(value, Mapping):
        raise SettingsError(f"{where}: {key}: found {value!r}, expected a table [{key}]")
    return value


def _text(document: Mapping[str, Any], key: str, where: str) -> str:
    value = document.get(key, "")
    if not isinstance(value, str):
        raise SettingsError(f"{where}: {key}: found {value!r}, expected text")
    return value


def _pair(value: Any, where: str) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) != 2:
        raise SettingsError(f"{where}: found {value!r}, expected [lowest, highest]")
    low, high = (_number(one, where) for one in value)
    if low >= high:
        raise SettingsError(f"{where}: found {value!r}, expected the lowest value below the highest")
    return low, high


def _number(value: Any, where: str, low: float = -math.inf, high: float = math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise SettingsError(f"{where}: found {value!r}, expected a number")
    if not low <= value <= high:
        bounds = f"{low:g} to {high:g}" if math.isfinite(high) else f"{low:g} or more"
        raise SettingsError(f"{where}: found {value!r}, expected {bounds}")
    return float(value)


def _known(table: Mapping[str, Any], keys: Iterable[str], where: str) -> None:
    known = list(keys)
    for key in table:
        if key not in known:
            raise SettingsError(f"{where}: unknown key {key!r}{_hint(key, known)}")


def _hint(name: str, known: Iterable[str]) -> str:
    choices = list(known)
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else f", expected one of: {', '.join(choices)}"
