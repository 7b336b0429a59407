"""From what the network heard to frames: the mouth's shapes, emotion, idle life, and what the user asked for.

Each stream has a `Face` with all that it must remember. The arithmetic runs over the rows of many streams at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ...animation.asymmetry import Asymmetry, leaning
from ...animation.emotion import EmotionPostProcessor, EmotionPostSettings, processed
from ...animation.expression import Expression, expressed
from ...animation.face import FaceControl
from ...animation.idle import COLUMNS as IDLE_COLUMNS
from ...animation.idle import IdleLife, add_idle, living
from ...animation.interpolate import GridInterpolator, interpolated
from ...animation.rows import Rows, numbered
from ...animation.shaping import BlendShapeShaping
from ...blendshapes import CHANNELS
from ...emotions import EMOTIONS, EmotionTrack, emotion_vector, given_emotion, replaced_from
from ...features.prosody import F0, LEVEL, STEP_HZ
from ...frames import Frame
from ...streams import StreamSettings
from ...timing import SAMPLE_RATE, sample_of
from ..base import EmotionEar
from .articulation import CLASSES, PARAMETERS, to_blendshapes, to_visemes
from .feeling import CORRESPONDENCE, SCORES, UNFELT, VoiceFeeling, feelings

TRANSITION_S = 0.5
"""Time constant of a change of emotion where the settings name none."""

_CLOSE, _LABIODENTAL = PARAMETERS.index("close"), PARAMETERS.index("fv")
_SILENT = CLASSES.index("sil")
_WIDTHS = np.cumsum([len(PARAMETERS), len(CLASSES), len(SCORES), len(IDLE_COLUMNS)])


@dataclass(frozen=True, slots=True)
class Hearing:
    """How a provider's streams hear emotion."""

    detects: bool
    """Whether emotion is heard at all."""

    correspondence: Sequence[int] = CORRESPONDENCE
    """For each score the index of its emotion in `EMOTIONS`; -1 for one that moves none."""

    look_ahead: int = 0
    """Samples after a frame's own that have been heard when it is made."""


class Face:
    """One stream's face: what its frames need to remember of those before."""

    def __init__(self, settings: StreamSettings, fps: Fraction, hearing: Hearing, ear: EmotionEar | None) -> None:
        """Settings, frames a second, and what hears the emotion; None for the hint from prosody."""
        self.fps, self.hearing, self.ear = fps, hearing, ear
        self.idle, self.visemes = settings.idle, settings.visemes
        self.feeling, self.life = VoiceFeeling(), IdleLife(settings.seed)
        self.grid = GridInterpolator(Fraction(STEP_HZ), fps, int(_WIDTHS[-1]))
        self.expression = Expression(fps, settings.seed, vary=settings.idle)
        self.asymmetry = Asymmetry(fps, settings.seed)
        self._control = FaceControl(settings.face_parameters, fps)
        self._shaping = BlendShapeShaping(CHANNELS, settings.multipliers, settings.offsets, clamp=settings.clamp)
        self._settings, self._track = settings.emotion, settings.emotion_track
        transition = TRANSITION_S if settings.emotion.transition_s is None else settings.emotion.transition_s
        heard_only = EmotionPostSettings.of(settings.emotion, fps, transition)
        self._posts = {given: replace(heard_only, enable_preferred_emotion=given) for given in (False, True)}
        # An emotion that nothing detects must not feed on its own output here.
        self.post = EmotionPostProcessor(
            list(hearing.correspondence), len(EMOTIONS), beginning=emotion_vector(settings.emotion.beginning),
            feedback=False,
        )  # fmt: skip

    def replace_from(self, track: EmotionTrack) -> None:
        """Emotion keys that hold from their first one on."""
        self._track = replaced_from(self._track, track)

    def given(self, samples: NDArray[np.int64]) -> NDArray[np.float32] | None:
        """What is asked for at these samples, shape (n, 10), NaN where an emotion is left alone; None for nothing.

        The emotion's post-processing is set to it.
        """
        given = given_emotion(self._settings, self._track, samples)
        self.post.set_settings(self._posts[given is not None])
        return given

    def touched(self, weights: NDArray[np.float32], closure: NDArray[np.float32]) -> NDArray[np.float32]:
        """Weights, shape (n, 68), by face parameters, multipliers, offsets and clamp."""
        return self._shaping(self._control(weights, closure))


def frames_of(
    faces: Sequence[Face],
    outputs: Sequence[NDArray[np.float32]],
    prosody: Sequence[NDArray[np.float32]],
    limits: Sequence[int | None],
) -> list[list[Frame]]:
    """The frames that new network output completes in each stream.

    Args:
        faces: One for each stream; all hear emotion in the same way.
        outputs: Rows of each, 60 a second, shapes (n, 12 + 24): articulation and classes.
        prosody: Of the same steps, shapes (n, 5).
        limits: Frames of each beyond which there are none.
    """
    steps = Rows([len(rows) for rows in outputs])
    said = np.concatenate(prosody)
    heard = np.concatenate(
        [
            np.concatenate(outputs),
            feelings([face.feeling for face in faces], steps, said),
            living([face.life for face in faces], steps, said[:, LEVEL], said[:, F0]),
        ],
        axis=1,
    )
    firsts = [face.grid.next_frame for face in faces]
    grid, counts = interpolated([face.grid for face in faces], [heard[own] for own in steps.slices()], limits)
    rows = Rows(counts)
    return _frames(faces, rows, firsts, grid) if rows.total else [[] for _ in faces]


def _frames(faces: Sequence[Face], rows: Rows, firsts: Sequence[int], grid: NDArray[np.float32]) -> list[list[Frame]]:
    """Frames of each stream from its number `firsts[i]` on; `grid` holds all that was heard, at their times."""
    articulation, phones, scores, life, _ = np.split(grid, _WIDTHS, axis=1)
    index = numbered(firsts, rows)
    emotion = _emotion(faces, rows, index, scores)
    lips, bite = articulation[:, _CLOSE], articulation[:, _LABIODENTAL]
    weights = expressed(
        [face.expression for face in faces], rows, to_blendshapes(articulation), emotion, lips, bite, phones[:, _SILENT]
    )
    alive = np.array([face.idle for face in faces])
    if alive.any():
        moved = leaning([face.asymmetry for face in faces], rows, add_idle(weights, life))
        weights = moved if alive.all() else np.where(alive[rows.stream, None], moved, weights)
    closure = np.maximum(lips, bite)
    visemes = to_visemes(phones) if any(face.visemes for face in faces) else None
    frames = []
    for face, own in zip(faces, rows.slices(), strict=True):
        frames.append(
            [
                Frame(number, sample_of(number, face.fps), row, feeling, shown, turned)
                for number, row, feeling, shown, turned in zip(
                    index[own].tolist(),
                    face.touched(weights[own], closure[own]),
                    emotion[own],
                    visemes[own] if visemes is not None and face.visemes else [None] * (own.stop - own.start),
                    life[own, -3:] if face.idle else [None] * (own.stop - own.start),
                    strict=True,
                )
            ]
        )
    return frames


def _emotion(
    faces: Sequence[Face], rows: Rows, index: NDArray[np.int64], scores: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The emotion of each frame, shape (n, 10): detected and given, by the post-processing that all providers share."""
    samples = np.concatenate(
        [
            index[own] * SAMPLE_RATE * face.fps.denominator // face.fps.numerator
            for face, own in zip(faces, rows.slices(), strict=True)
        ]
    )
    hearing = faces[0].hearing
    if faces[0].ear is not None:
        heard = [
            face.ear.at(samples[own] + hearing.look_ahead)
            for face, own in zip(faces, rows.slices(), strict=True)
            if face.ear is not None
        ]
        scores = np.concatenate(heard)
    elif not hearing.detects:
        scores = np.tile(UNFELT, (rows.total, 1))
    given = [face.given(samples[own]) for face, own in zip(faces, rows.slices(), strict=True)]
    preferred = None
    if any(each is not None for each in given):
        preferred = np.full((rows.total, len(EMOTIONS)), np.nan, np.float32)
        for each, own in zip(given, rows.slices(), strict=True):
            if each is not None:
                preferred[own] = each
    return processed([face.post for face in faces], rows, scores, preferred)
