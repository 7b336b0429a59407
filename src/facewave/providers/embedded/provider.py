"""`Embedded`: the small model that ships with facewave. Any CPU, any language, real time.

samples -> log-mel -> recurrent network -> twelve articulatory parameters at 60 Hz -> frames at the asked rate ->
68 channel weights -> expression -> face parameters -> multipliers, offsets, clamp.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Sequence
from fractions import Fraction
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...animation.expression import add_expression
from ...animation.face import FaceControl
from ...animation.interpolate import GridInterpolator
from ...animation.shaping import BlendShapeShaping
from ...blendshapes import CHANNELS
from ...emotions import EMOTIONS, EmotionTrack, given_emotion, replaced_from
from ...errors import ModelFormatError, SessionError, SettingsError
from ...features.log_mel import N_MELS, LogMel
from ...frames import Frame, StreamInfo
from ...inference.onnx import Network, load_network
from ...settings import FacewaveSettings
from ...streams import StreamSettings
from ...timing import SAMPLE_RATE, frames_in, sample_of
from ..base import ProviderInfo, checked_samples
from .articulation import CLASSES, PARAMETERS, to_blendshapes, to_visemes

MIN_FPS, MAX_FPS, DEFAULT_FPS = Fraction(24), Fraction(120), Fraction(60)
STEP_HZ = Fraction(60)
"""Network steps per second; step j ends at sample (j + 1) * 16000 / 60 and sees two feature frames."""

_FRAMES_PER_STEP = 2
_STEPS_PER_RUN = 600
"""At most ten seconds of audio per run, which bounds memory and lets Ctrl-C through."""

_CLOSE, _LABIODENTAL = PARAMETERS.index("close"), PARAMETERS.index("fv")


class EmbeddedProvider:
    """The bundled model. One network serves every stream; it loads in a fraction of a second."""

    def __init__(self, settings: FacewaveSettings | None = None, model: Path | None = None) -> None:
        """Args: project settings (`[embedded]`), and another network file of the same form for experiments."""
        self._look_ahead_ms = (settings or FacewaveSettings()).embedded.look_ahead_ms
        self._model = model
        self._network: Network | None = None
        self._head = 0
        self._open_sessions = 0
        self._free_when_idle = False
        self._lock = threading.Lock()

    @property
    def info(self) -> ProviderInfo:
        """Name, rates and look-ahead; loads nothing."""
        return ProviderInfo(
            name="Embedded",
            kind="embedded",
            description="bundled model: lips, jaw and tongue from speech in any language, on one CPU thread",
            frame_rate=DEFAULT_FPS,
            frame_rates=(MIN_FPS, MAX_FPS),
            look_ahead=self._look_ahead_ms * SAMPLE_RATE // 1000,
            loaded=self._network is not None,
        )

    def open(self, settings: StreamSettings) -> EmbeddedSession:
        """Start a stream at any frame rate from 24 to 120.

        Raises:
            SettingsError: A frame rate outside that range, or a look-ahead the model does not have.
            ModelError: The model file is missing or damaged.
        """
        fps = settings.frame_rate or DEFAULT_FPS
        if not MIN_FPS <= fps <= MAX_FPS:
            raise SettingsError(
                f"frame rate of Embedded: found {float(fps):g}, expected {MIN_FPS} to {MAX_FPS} per second"
            )
        self.allocate()
        with self._lock:
            self._open_sessions += 1
            self._free_when_idle = False
        return EmbeddedSession(self, settings, fps)

    def allocate(self) -> None:
        """Load the network now. Idempotent."""
        with self._lock:
            if self._network is None:
                path = self._model or Path(str(resources.files(__package__) / "model.onnx"))
                network = load_network(path)
                self._head = _head_of(network, self._look_ahead_ms * SAMPLE_RATE // 1000)
                self._network = network

    def free(self) -> None:
        """Let the network go once the last stream has ended. Idempotent."""
        with self._lock:
            self._free_when_idle = True
            self._release()

    def step(self, sessions: Sequence[EmbeddedSession]) -> list[list[Frame]]:
        """Run everything due in many streams as few batches; the frames of each stream, in the order given.

        The streams have been fed by `EmbeddedSession.feed` or `end`; equal results to stepping them one by one, up
        to the rounding of batched arithmetic (1e-5).
        """
        network = self._network
        assert network is not None, "an open session keeps the network loaded"
        frames: list[list[Frame]] = [[] for _ in sessions]
        while True:
            batches: dict[int, list[int]] = defaultdict(list)
            for i, session in enumerate(sessions):
                if due := min(session.steps_due, _STEPS_PER_RUN):
                    batches[due].append(i)
            if not batches:
                break
            for due, members in batches.items():
                features = np.stack([sessions[i].take_features(due) for i in members])
                state = np.stack([sessions[i].state for i in members], axis=1)
                articulation, phones, state = network.run(
                    {"features": features, "state": state}, ["articulation", "phones", "state_out"]
                )
                heard = np.concatenate([articulation[:, :, self._head], phones[:, :, self._head]], axis=-1)
                for row, i in enumerate(members):
                    sessions[i].state = state[:, row]
                    frames[i] += sessions[i].take_heard(heard[row])
        for session in sessions:
            session.release_if_done()
        return frames

    def initial_state(self) -> NDArray[np.float32]:
        """The recurrent state a stream starts with, shape (layers, hidden)."""
        assert self._network is not None
        return np.zeros([size for size in self._network.inputs["state"] if isinstance(size, int)], np.float32)

    def session_ended(self) -> None:
        """Called once by each session when its last frame is out or it is cancelled."""
        with self._lock:
            self._open_sessions -= 1
            self._release()

    def _release(self) -> None:
        if self._free_when_idle and not self._open_sessions:
            self._network = None


class EmbeddedSession:
    """One stream through the bundled model. `push` is `feed` and a step; servers feed many and step them together."""

    def __init__(self, provider: EmbeddedProvider, settings: StreamSettings, fps: Fraction) -> None:
        self._provider = provider
        self._settings = settings
        self._fps = fps
        self._track = settings.emotion_track
        self._log_mel = LogMel()
        self._features = np.empty((0, N_MELS), np.float32)
        self._received = 0
        self._limit: int | None = None
        self._ended = False
        self._released = False
        # A step with look-ahead L describes the time (j + 1) / 60 s - L: the first ones lie before the audio.
        look_ahead_steps = Fraction(provider.info.look_ahead, SAMPLE_RATE) * STEP_HZ
        self._lead = int(look_ahead_steps) - 1
        self._skip = self._lead
        self._grid = GridInterpolator(STEP_HZ, fps, len(PARAMETERS) + len(CLASSES))
        self._face = FaceControl(settings.face_parameters, fps)
        self._shaping = BlendShapeShaping(CHANNELS, settings.multipliers, settings.offsets, clamp=settings.clamp)
        self._info = StreamInfo(fps, CHANNELS)
        self.state = provider.initial_state()
        """Recurrent state of the network after the steps run so far."""

    @property
    def info(self) -> StreamInfo:
        """Frame rate and channels."""
        return self._info

    def push(self, samples: NDArray[np.float32], emotion: EmotionTrack | None = None) -> Sequence[Frame]:
        """Take audio and return the frames now ready; see `Session.push`."""
        self.feed(samples, emotion)
        return self._provider.step([self])[0]

    def finish(self) -> Sequence[Frame]:
        """Return the remaining frames: ceil(duration * frame rate) in all."""
        self.end()
        return self._provider.step([self])[0]

    def cancel(self) -> None:
        """Drop the stream. Idempotent."""
        self._ended = True
        self._features = self._features[:0]
        self.release_if_done()

    def feed(self, samples: NDArray[np.float32], emotion: EmotionTrack | None = None) -> None:
        """Take audio without running the network yet.

        Raises:
            AudioError: Not shape (n,), or not finite.
            SessionError: The stream has ended.
        """
        if self._ended:
            raise SessionError("Embedded session: audio after finish or cancel; open a new session for a new clip")
        samples = checked_samples(samples)
        if emotion is not None:
            self._track = replaced_from(self._track, emotion)
        self._received += len(samples)
        self._features = np.concatenate([self._features, self._log_mel.push(samples)])

    def end(self) -> None:
        """Declare the end of the audio without running the network yet.

        Raises:
            SessionError: The stream has ended already.
        """
        if self._ended:
            raise SessionError("Embedded session: finished or cancelled already; open a new session for a new clip")
        self._limit = frames_in(self._received, self._fps)
        # Silence after the end carries the network past its look-ahead to the last frame.
        steps = self._grid.rows_needed(self._limit) + self._lead
        missing = -(-steps * SAMPLE_RATE // int(STEP_HZ)) - self._received
        if self._limit and missing > 0:
            self._features = np.concatenate([self._features, self._log_mel.push(np.zeros(missing, np.float32))])
        self._ended = True

    def release_if_done(self) -> None:
        """Give the provider its network back once the stream has ended and nothing is left to run."""
        if self._ended and not self.steps_due and not self._released:
            self._released = True
            self._provider.session_ended()

    @property
    def steps_due(self) -> int:
        """Network steps whose features are here."""
        return len(self._features) // _FRAMES_PER_STEP

    def take_features(self, steps: int) -> NDArray[np.float32]:
        """Hand over the features of the next steps, shape (steps, 128)."""
        count = steps * _FRAMES_PER_STEP
        taken, self._features = self._features[:count], self._features[count:]
        return taken.reshape(steps, _FRAMES_PER_STEP * N_MELS)

    def take_heard(self, rows: NDArray[np.float32]) -> list[Frame]:
        """Turn network output, shape (steps, 12 + 24): articulation and classes, into the frames now complete."""
        before = min(self._skip, len(rows))
        self._skip -= before
        first = self._grid.next_frame
        heard = self._grid.push(rows[before:], self._limit)
        if not len(heard):
            return []
        articulation, phones = heard[:, : len(PARAMETERS)], heard[:, len(PARAMETERS) :]
        index = np.arange(first, first + len(heard), dtype=np.int64)
        samples = index * SAMPLE_RATE * self._fps.denominator // self._fps.numerator
        closure = np.maximum(articulation[:, _CLOSE], articulation[:, _LABIODENTAL])
        emotion = self._emotion(samples)
        weights = add_expression(to_blendshapes(articulation), emotion, closure)
        weights = self._shaping(self._face(weights, closure))
        visemes = to_visemes(phones) if self._settings.visemes else [None] * len(index)
        return [
            Frame(int(i), sample_of(int(i), self._fps), row, feeling, shown)
            for i, row, feeling, shown in zip(index, weights, emotion, visemes, strict=True)
        ]

    def _emotion(self, samples: NDArray[np.int64]) -> NDArray[np.float32]:
        given = given_emotion(self._settings.emotion, self._track, samples)
        if given is None:
            return np.zeros((len(samples), len(EMOTIONS)), np.float32)
        emotion = self._settings.emotion
        return given * np.float32(emotion.override_strength * emotion.strength)


def _head_of(network: Network, look_ahead: int) -> int:
    """Which of the network's heads has the look-ahead asked for."""
    try:
        heads = [int(samples) for samples in json.loads(network.metadata["look_ahead_samples"])]
    except (KeyError, ValueError, TypeError) as error:
        raise ModelFormatError(
            f"model {network.path}: metadata 'look_ahead_samples' is missing or not a list of whole numbers"
        ) from error
    if look_ahead not in heads:
        known = ", ".join(str(samples * 1000 // SAMPLE_RATE) for samples in heads)
        raise SettingsError(
            f"embedded.look_ahead_ms: found {look_ahead * 1000 // SAMPLE_RATE}, expected one of {known} (the model's)"
        )
    return heads.index(look_ahead)
