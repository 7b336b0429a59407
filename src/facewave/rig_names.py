"""Which of a rig's own shape names mean which channels: pure, by the words in a name.

Rigs spell the same shapes in many ways: `jawOpen`, `JawOpen`, `Jaw_Open`, `CC_Base.Jaw_Open`, `L_eyeBlink`,
`eyeBlink_L`, `leftEyeBlink`. The words are the same, so the words are compared, and what stays unmatched is reported.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from .blendshapes import CHANNELS, canonical, mirrored

Row = Mapping[str, float]
"""Channel -> weight: what a target of the rig is the sum of."""

Words = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NameMatch:
    """What the names of a rig mean, and what they leave open."""

    rows: Mapping[str, Row]
    """Target -> channels it follows, in the order of the rig."""

    unmatched: tuple[str, ...]
    """Targets that mean no channel; they stay at rest."""

    doubled: Mapping[str, str]
    """Targets left out because another target, the value, means the same channel."""

    missing: tuple[str, ...]
    """Channels that no target follows: this motion is lost on the rig."""

    nearest: Mapping[str, str]
    """Unmatched target -> the channel whose name is nearest, where one is near."""


def match_names(targets: Sequence[str]) -> NameMatch:
    """Find the channels that a rig's target names mean.

    A target without a side (`mouthSmile`) follows the mean of both channels; one of a pair where ARKit has a single
    channel (`browInnerUp_L`) follows that channel.

    Args:
        targets: Names in the order of the rig; the second of two equal ones is ignored.
    """
    names = list(dict.fromkeys(targets))
    shared = _shared_words([_words(name) for name in names])
    found = {name: row for name in names if (row := _row(name, shared))}
    taken: dict[tuple[str, str], str] = {}
    doubled: dict[str, str] = {}
    # A name spelled like the channel goes before one that only holds the same words, and a side before both.
    for name in sorted(found, key=lambda name: (canonical(name) is None, len(found[name]))):
        side = _side_of(name, found[name])
        before = [taken.get((channel, "")) or taken.get((channel, side)) for channel in found[name]]
        if before[0] and all(before):
            doubled[name] = before[0]
        else:
            taken |= {(channel, side): name for channel in found[name]}
    rows = {name: row for name, row in found.items() if name not in doubled}
    served = {channel for row in rows.values() for channel in row}
    unmatched = tuple(name for name in names if name not in found)
    return NameMatch(
        rows=rows,
        unmatched=unmatched,
        doubled=doubled,
        missing=tuple(channel for channel in CHANNELS if channel not in served),
        nearest={name: near for name in unmatched if (near := _nearest(name))},
    )


_SIDES = {"l": "left", "r": "right", "lft": "left", "rgt": "right"}
_PADDING = frozenset({"geo", "mesh", "blendshape", "blendshapes", "bs", "shape", "shapes", "target", "morph", "key"})
"""Words that say what a thing is in a scene, not what it does."""

_SHARED_BY = 0.5
"""A leading word that this share of all targets begins with is a prefix of the rig."""


def _words(name: str) -> Words:
    """`CC_Base.eyeBlink_L` -> (eye, blink, left): what stands after the last dot, colon or bar, cut into words."""
    last = re.split(r"[.:|]", name.strip())[-1]
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", last)
    return tuple(_SIDES.get(part.lower(), part.lower()) for part in parts)


def _shared_words(spelled: Sequence[Words]) -> frozenset[str]:
    """First words so common that they can only name the rig; words of channels, such as `eye`, never count."""
    first = Counter(words[0] for words in spelled if words)
    return frozenset(
        word
        for word, count in first.items()
        if word not in _vocabulary() and count >= max(3, _SHARED_BY * len(spelled))
    )


def _row(name: str, shared: frozenset[str]) -> Row:
    """The channels a name means; empty for none."""
    exact = canonical(name)
    if exact is not None:
        return {exact: 1.0}
    words = _words(name)
    while words and (words[0] in _PADDING or words[0] in shared or words[0].isdigit()):
        words = words[1:]
    while words and (words[-1] in _PADDING or words[-1].isdigit()):
        words = words[:-1]
    by_words = _by_words()
    key = tuple(sorted(words))
    if key in by_words:
        return {by_words[key]: 1.0}
    pair = by_words.get(tuple(sorted((*words, "left"))))
    if pair is not None and not {"left", "right"} & set(words):
        return {pair: 0.5, mirrored(pair): 0.5}
    single = by_words.get(tuple(sorted(word for word in words if word not in ("left", "right"))))
    return {single: 1.0} if single is not None and mirrored(single) == single else {}


def _side_of(name: str, row: Row) -> str:
    """The side a target has where its channel has none, as `browInnerUp_L`; else blank."""
    only = next(iter(row))
    if len(row) > 1 or mirrored(only) != only:
        return ""
    return next((word for word in _words(name) if word in ("left", "right")), "")


def _nearest(name: str) -> str:
    plain = "".join(_words(name))
    near = difflib.get_close_matches(plain, [channel.lower() for channel in CHANNELS], n=1, cutoff=0.8)
    return next((channel for channel in CHANNELS if near and channel.lower() == near[0]), "")


@cache
def _by_words() -> Mapping[Words, str]:
    return {tuple(sorted(_words(channel))): channel for channel in CHANNELS}


@cache
def _vocabulary() -> frozenset[str]:
    return frozenset(word for channel in CHANNELS for word in _words(channel))
