"""`Embedded`: the small model that ships with facewave. Any CPU, any language, real time.

The network is shared and stateless; `session.py` holds what belongs to one stream.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from fractions import Fraction
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ...errors import ModelFormatError, SettingsError
from ...features import log_mel, prosody
from ...features.windows import cut
from ...frames import Frame
from ...inference.onnx import Network, load_network
from ...settings import FacewaveSettings
from ...streams import StreamSettings
from ...timing import SAMPLE_RATE
from ..base import EmotionListener, ProviderInfo
from .face import frames_of
from .session import EmbeddedSession

if TYPE_CHECKING:
    from .transcript.session import TranscribedSession

MIN_FPS, MAX_FPS, DEFAULT_FPS = Fraction(24), Fraction(120), Fraction(60)

_STEPS_PER_RUN = 600
"""At most ten seconds of audio per run, which bounds memory and lets Ctrl-C through."""

_SAMPLES_PER_RUN = 10 * SAMPLE_RATE


class EmbeddedProvider:
    """The bundled model. One network serves every stream; it loads in a fraction of a second."""

    def __init__(
        self,
        settings: FacewaveSettings | None = None,
        model: Path | None = None,
        *,
        listener: Callable[[str], EmotionListener] | None = None,
    ) -> None:
        """Prepare; nothing is loaded yet.

        Args:
            settings: Project settings (`[embedded]`).
            model: Another network file of the same form, for experiments.
            listener: Loads the emotion detector that `embedded.emotion_model` names.
        """
        chosen = (settings or FacewaveSettings()).embedded
        self._look_ahead_ms = chosen.look_ahead_ms
        self._emotion_model = chosen.emotion_model
        self._open_listener = listener
        self._listener: EmotionListener | None = None
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
            description="bundled model: a speaking, feeling face from speech in any language, on one CPU thread",
            frame_rate=DEFAULT_FPS,
            frame_rates=(MIN_FPS, MAX_FPS),
            look_ahead=self._look_ahead_ms * SAMPLE_RATE // 1000,
            loaded=self._network is not None,
        )

    def open(self, settings: StreamSettings) -> EmbeddedSession | TranscribedSession:
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
        with self._lock:
            self._load()
            self._open_sessions += 1
            self._free_when_idle = False
            network = self._network
        session = EmbeddedSession(self, settings, fps)
        if settings.transcript is None:
            return session
        from .transcript.session import TranscribedSession

        assert network is not None, "loaded above"
        return TranscribedSession(network, settings.transcript, session)

    def version(self) -> str:
        """SHA-256 of the network's file."""
        import hashlib

        return hashlib.sha256(self._file.read_bytes()).hexdigest()

    def allocate(self) -> None:
        """Load the network now. Idempotent."""
        with self._lock:
            self._load()

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
        if self._listener is not None:
            self._listener.step([session.ear for session in sessions if session.ear is not None])
        frames: list[list[Frame]] = [[] for _ in sessions]
        busy = True
        while busy:
            busy = _hear(sessions)
            busy |= self._answer(sessions, frames)
        for session in sessions:
            session.release_if_done()
        return frames

    def _answer(self, sessions: Sequence[EmbeddedSession], frames: list[list[Frame]]) -> bool:
        """Run the network over the features that are there, streams with equally many together; whether there were."""
        network = self._network
        assert network is not None, "an open session keeps the network loaded"
        batches: dict[int, list[int]] = defaultdict(list)
        answers: dict[int, tuple[NDArray[np.float32], NDArray[np.float32]]] = {}
        for i, session in enumerate(sessions):
            if due := min(session.steps_due, _STEPS_PER_RUN):
                batches[due].append(i)
        for due, members in batches.items():
            features = np.stack([sessions[i].take_features(due) for i in members])
            state = np.stack([sessions[i].state for i in members], axis=1)
            articulation, phones, state = network.run(
                {"features": features, "state": state}, ["articulation", "phones", "state_out"]
            )
            output = np.concatenate([articulation[:, :, self._head], phones[:, :, self._head]], axis=-1)
            for row, i in enumerate(members):
                sessions[i].state = state[:, row]
                answers[i] = sessions[i].take_output(output[row])
        if answers:
            spoken = [sessions[i] for i in answers]
            made = frames_of(
                [session.face for session in spoken],
                [rows for rows, _ in answers.values()],
                [prosody for _, prosody in answers.values()],
                [session.limit for session in spoken],
            )
            for i, new in zip(answers, made, strict=True):
                frames[i] += new
        return bool(batches)

    @property
    def detects(self) -> bool:
        """Whether emotion is heard at all."""
        return self._emotion_model.lower() != "none"

    @property
    def listener(self) -> EmotionListener | None:
        """The detector that takes the place of the bundled hint; loaded while a session is open."""
        return self._listener

    def initial_state(self) -> NDArray[np.float32]:
        """The recurrent state a stream starts with, shape (layers, hidden)."""
        assert self._network is not None
        return np.zeros([size for size in self._network.inputs["state"] if isinstance(size, int)], np.float32)

    def session_ended(self) -> None:
        """Called once by each session when its last frame is out or it is cancelled."""
        with self._lock:
            self._open_sessions -= 1
            self._release()

    @property
    def _file(self) -> Path:
        return self._model or Path(str(resources.files(__package__) / "model.onnx"))

    def _load(self) -> None:
        if self._network is None:
            network = load_network(self._file)
            self._head = _head_of(network, self._look_ahead_ms * SAMPLE_RATE // 1000)
            self._network = network
        if self._emotion_model and self.detects and self._listener is None:
            if self._open_listener is None:
                raise SettingsError(
                    f"embedded.emotion_model: found {self._emotion_model!r}, but this provider was made without a way "
                    "to load it; open it with facewave.open_provider"
                )
            self._listener = self._open_listener(self._emotion_model)

    def _release(self) -> None:
        if self._free_when_idle and not self._open_sessions:
            self._network = self._listener = None


def _hear(sessions: Sequence[EmbeddedSession]) -> bool:
    """Turn the waiting audio of all streams into features at once; whether there was any."""
    waiting = [(session, audio) for session in sessions if (audio := session.take_audio(_SAMPLES_PER_RUN)) is not None]
    if not waiting:
        return False
    given = [session for session, _ in waiting]
    (windows, mel_counts), (longer, tone_counts) = cut(
        [session.samples for session in given], [audio for _, audio in waiting]
    )
    features, tones = log_mel.energies(windows), prosody.analysed(longer)
    mel = tone = 0
    for session, n_mel, n_tone in zip(given, mel_counts, tone_counts, strict=True):
        session.hear(features[mel : mel + n_mel], tones[tone : tone + n_tone])
        mel, tone = mel + n_mel, tone + n_tone
    return True


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
