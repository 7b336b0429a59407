"""What each emotion does to the face and how it comes and goes, added to speech without undoing its lip closures.

The poses follow the action units that the literature assigns to each emotion. The times were set by hand: startled
emotions come at once, moods slowly, and all leave more slowly than they come.

Source: Ekman, Friesen and Hager (2002), Facial Action Coding System, Investigator's Guide.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..blendshapes import CHANNELS, INDEX, UPPER_FACE
from ..emotions import EMOTIONS
from .rows import Rows, numbered
from .waves import SlowWaves, wandering

# Both sides are meant where a name carries neither Left nor Right but exists only in pairs.
_POSES: Mapping[str, Mapping[str, float]] = {
    "amazement": {"browInnerUp": 0.85, "browOuterUp": 1.0, "eyeWide": 0.85, "jawOpen": 0.35},
    "anger": {
        "browDown": 1.0, "eyeSquint": 0.65, "cheekSquint": 0.2, "noseSneer": 0.4, "mouthFrown": 0.5, "mouthPress": 0.55,
        "mouthShrugLower": 0.3, "mouthStretch": 0.1, "jawForward": 0.3,
    },
    "cheekiness": {
        "mouthSmileLeft": 0.8, "mouthSmileRight": 0.15, "mouthDimpleLeft": 0.4, "mouthLeft": 0.15,
        "browOuterUpLeft": 0.8, "browDownRight": 0.35, "eyeSquintRight": 0.45, "cheekSquintLeft": 0.4,
    },
    "disgust": {
        "noseSneer": 0.9, "mouthUpperUp": 0.1, "browDown": 0.5, "mouthFrown": 0.55, "cheekSquint": 0.4,
        "eyeSquint": 0.45, "mouthShrugLower": 0.15,
    },
    "fear": {
        "browInnerUp": 1.0, "browOuterUp": 0.45, "browDown": 0.2, "eyeWide": 1.0, "mouthStretch": 0.65, "jawOpen": 0.2,
    },
    "grief": {
        "browInnerUp": 1.0, "browDown": 0.35, "mouthFrown": 1.0, "mouthShrugLower": 0.35, "eyeBlink": 0.35,
        "eyeSquint": 0.6, "cheekSquint": 0.6, "mouthStretch": 0.3, "eyeLookDown": 0.15,
    },
    "joy": {"mouthSmile": 0.85, "cheekSquint": 0.7, "eyeSquint": 0.35, "mouthDimple": 0.2, "browOuterUp": 0.15},
    "outofbreath": {
        "jawOpen": 0.35, "browInnerUp": 0.55, "noseSneer": 0.15, "mouthUpperUp": 0.05, "mouthLowerDown": 0.06,
        "eyeBlink": 0.18, "mouthFrown": 0.1,
    },
    "pain": {
        "browDown": 0.9, "browInnerUp": 0.3, "eyeBlink": 0.45, "eyeSquint": 0.9, "cheekSquint": 0.9, "noseSneer": 0.5,
        "mouthStretch": 0.55, "mouthUpperUp": 0.08, "mouthFrown": 0.2,
    },
    "sadness": {
        "browInnerUp": 1.0, "browDown": 0.1, "mouthFrown": 0.9, "mouthShrugLower": 0.3, "eyeBlink": 0.25,
        "eyeLookDown": 0.3,
    },
}  # fmt: skip

_LIFTING, _LOWERING = ("mouthUpperUp", "noseSneer"), ("mouthLowerDown", "mouthFunnel")
"""Channels that part the lips from above and from below; speech overrules them while the lips must touch."""

_GIVES_WAY, _CHIN_FOLLOWS = 0.5, 0.5
"""Part of a lifted lip that a closure takes away, and how far the lower lip rises to the rest. Taking all would make
the face jump with every consonant."""

_SHUT, _JAW_SHUT = 0.75, 0.45
"""Closures that hold a pose's lips and its jaw back fully; a third of that begins to."""

_JAW_IN_SPEECH, _SPEAK_S, _HUSH_S = 0.09, 0.05, 0.5
"""Share of a pose's open jaw that shows during speech, and how fast speech takes it and gives it back."""

_LIPS_VARY = 0.15
"""The lower face wanders by this share of the variation only: people read speech from it."""


@dataclass(frozen=True, slots=True)
class Dynamics:
    """How an emotion comes, stays and goes."""

    onset_s: float
    """Time constant of its rise."""

    decay_s: float
    """Time constant of its fall."""

    variation: float
    """How far the pose wanders while the emotion holds, as a share of it."""

    pace: float = 1.0
    """How fast it wanders: 1 is once in several seconds."""


DYNAMICS: Mapping[str, Dynamics] = {
    "amazement": Dynamics(0.10, 0.60, 0.10, 1.2),
    "anger": Dynamics(0.20, 1.00, 0.12, 1.3),
    "cheekiness": Dynamics(0.25, 0.70, 0.15),
    "disgust": Dynamics(0.18, 0.70, 0.10),
    "fear": Dynamics(0.10, 0.80, 0.14, 2.0),
    "grief": Dynamics(0.60, 2.00, 0.12, 0.7),
    "joy": Dynamics(0.22, 1.00, 0.12),
    "outofbreath": Dynamics(0.35, 1.20, 0.30, 2.5),
    "pain": Dynamics(0.12, 0.90, 0.14, 1.5),
    "sadness": Dynamics(0.60, 2.00, 0.10, 0.7),
}
"""By emotion."""


def _pose_matrix() -> NDArray[np.float32]:
    poses = np.zeros((len(EMOTIONS), len(CHANNELS)), np.float32)
    for row, emotion in enumerate(EMOTIONS):
        for name, weight in _POSES[emotion].items():
            for channel in (name,) if name in INDEX else (name + "Left", name + "Right"):
                poses[row, INDEX[channel]] = weight
    return poses


POSES = _pose_matrix()
"""Shape (10, 68): weights that each emotion adds at full strength."""

_LIFTS_UPPER = np.array([name.startswith(_LIFTING) for name in CHANNELS], np.float32)
_JAW, _CHIN = INDEX["jawOpen"], INDEX["mouthShrugLower"]
_SNEER = [INDEX["noseSneerLeft"], INDEX["noseSneerRight"]]
_LOWERS = np.array([name.startswith(_LOWERING) for name in CHANNELS], np.float32)
_UPPER = np.array([name in UPPER_FACE for name in CHANNELS])
_UPPER_POSES, _LOWER_POSES = POSES * _UPPER, POSES * ~_UPPER
_ONSET_S = np.array([DYNAMICS[name].onset_s for name in EMOTIONS], np.float32)
_DECAY_S = np.array([DYNAMICS[name].decay_s for name in EMOTIONS], np.float32)
_VARIATION = np.array([[1], [_LIPS_VARY]]) * [DYNAMICS[name].variation for name in EMOTIONS]
_PACE = np.array([DYNAMICS[name].pace for name in EMOTIONS])
_GONE = 1e-4
"""An emotion that has faded to this is over."""


class Expression:
    """The poses of one stream over time. Owns how far each emotion has come."""

    def __init__(self, fps: Fraction, seed: int = 0, *, vary: bool = True) -> None:
        """Frames a second; a seed for the variation, which `vary` switches on."""
        dt = np.float32(1 / fps)
        self._rise, self._fall = 1 - np.exp(-dt / _ONSET_S), 1 - np.exp(-dt / _DECAY_S)
        self._level: NDArray[np.float32] | None = None
        # The upper and the lower face wander apart from each other, as muscles do.
        self._waves = SlowWaves(np.concatenate([_PACE, _PACE]), fps, (seed, 1)) if vary else None
        self._frame = 0
        self._quiet = 1.0
        self._speak, self._hush = (1 - math.exp(-float(dt) / seconds) for seconds in (_SPEAK_S, _HUSH_S))

    def __call__(
        self,
        weights: NDArray[np.float32],
        emotion: NDArray[np.float32],
        closure: NDArray[np.float32],
        bite: NDArray[np.float32] | None = None,
        silence: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float32]:
        """Speech with expression, for consecutive frames.

        Args:
            weights: Shape (frames, 68), the speech.
            emotion: Shape (frames, 10), 0..1: where each emotion goes. The stream begins with its first emotion.
            closure: Shape (frames,), 0..1: how firmly speech holds the lips together.
            bite: Shape (frames,), 0..1: how firmly the lower lip lies on the teeth; None for never.
            silence: Shape (frames,), 0..1: where nobody speaks, and the pose may open the mouth; None for never.

        Returns:
            Shape (frames, 68), as `combined` lays them over each other.
        """
        shut = np.zeros(len(weights), np.float32)
        heard = closure, shut if bite is None else bite, shut if silence is None else silence
        return expressed([self], Rows([len(weights)]), weights, emotion, *heard)


def expressed(
    faces: Sequence[Expression],
    rows: Rows,
    weights: NDArray[np.float32],
    emotion: NDArray[np.float32],
    closure: NDArray[np.float32],
    bite: NDArray[np.float32],
    silence: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Speech with expression, for consecutive frames of many streams; arguments as `Expression`, rows as `rows`."""
    frames = numbered([face._frame for face in faces], rows)
    for face, count in zip(faces, rows.counts, strict=True):
        face._frame += count
    level = _followed(faces, rows, emotion)
    free = _mouth_free(faces, rows, silence)
    if not level.any():
        return weights
    wander = np.ones((rows.total, 2 * len(EMOTIONS)), np.float32)
    waves = [face._waves for face in faces]
    varied = np.array([each is not None for each in waves])
    if varied.any():
        own = np.cumsum(varied) - 1  # Index among those that vary.
        shown = varied[rows.stream]
        moved = wandering([each for each in waves if each is not None], own[rows.stream[shown]], frames[shown])
        wander[shown] += _VARIATION.ravel() * moved
    upper, lower = np.split(wander, 2, axis=1)
    pose = (level * upper) @ _UPPER_POSES + (level * lower) @ _LOWER_POSES
    pose[:, _JAW] *= free
    return combined(weights, pose, closure, bite)


def _mouth_free(faces: Sequence[Expression], rows: Rows, silence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Share of a pose's open jaw that shows at each frame, shape (frames,)."""
    quiet: list[float] = []
    targets = silence.tolist()
    for face, own in zip(faces, rows.slices(), strict=True):
        for target in targets[own]:
            # Speech takes the jaw at once and gives it back slowly.
            face._quiet += (face._speak if target < face._quiet else face._hush) * (target - face._quiet)
            quiet.append(face._quiet)
    return np.asarray(_JAW_IN_SPEECH + (1 - _JAW_IN_SPEECH) * np.array(quiet), np.float32)


def _followed(faces: Sequence[Expression], rows: Rows, emotion: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far each emotion has come at each frame, shape (frames, 10)."""
    out = np.zeros((rows.total, len(EMOTIONS)), np.float32)
    if not rows.total:
        return out
    at_first = [emotion[own][:1] if face._level is None else face._level[None]
                for face, own in zip(faces, rows.slices(), strict=True)]  # fmt: skip
    level = np.concatenate([each if len(each) else np.zeros((1, len(EMOTIONS)), np.float32) for each in at_first])
    rise, fall = np.array([face._rise for face in faces]), np.array([face._fall for face in faces])
    absent = emotion == 0
    fading = bool(absent.any())
    for members, frames in rows.turns():
        here, target = level[members], emotion[frames]
        here = here + np.where(target > here, rise[members], fall[members]) * (target - here)
        if fading:
            here[absent[frames] & (here < _GONE)] = 0
        level[members] = out[frames] = here
    for i, (face, count) in enumerate(zip(faces, rows.counts, strict=True)):
        if count:
            face._level = level[i]
    return out


def combined(
    weights: NDArray[np.float32],
    pose: NDArray[np.float32],
    closure: NDArray[np.float32],
    bite: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Speech, shape (frames, 68), with a pose of the same shape.

    Both add up, so speech moves as far as without the pose, to at most 1 in a channel. The parts of the pose that would
    open the lips give way where lips meet (`closure`) or lip meets teeth (`bite`, which leaves the upper lip alone),
    shapes (frames,), 0..1.
    """
    pose = np.minimum(pose, 1)
    most = closure if bite is None else np.maximum(closure, bite)
    if len(most) and most.max() > _JAW_SHUT / 3:  # Below that nothing gives way.
        met = _firm(closure, _SHUT)
        held = met if bite is None else np.maximum(met, _firm(bite, _SHUT))
        # Channels as columns of factors: cheaper than picking them out, for the few rows of a live stream.
        pose *= (1 - (_GIVES_WAY * met) * _LIFTS_UPPER) * (1 - held * _LOWERS)
        pose[:, _JAW] *= 1 - _firm(most, _JAW_SHUT)[:, 0]
        # A lip lifted with the nose is met by the other one.
        sneer = (pose[:, _SNEER[0]] + pose[:, _SNEER[1]]) / 2
        pose[:, _CHIN] += _CHIN_FOLLOWS * met[:, 0] * sneer
    # What a pose takes away counts as nothing, and speech beyond 1 stays as it is.
    return np.asarray(np.minimum(weights + np.maximum(pose, 0), np.maximum(weights, 1)), np.float32)


def _firm(closure: NDArray[np.float32], shut: float) -> NDArray[np.float32]:
    """0..1, shape (frames, 1), 1 from `shut` on: lips that only come near each other leave the pose alone."""
    share = np.clip((closure - shut / 3) / (shut * 2 / 3), 0, 1)[:, None]
    return np.asarray(share * share * (3 - 2 * share), np.float32)
