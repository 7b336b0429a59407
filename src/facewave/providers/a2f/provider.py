"""The six `LocalA2F-*` providers: NVIDIA's published models, or others of their format, on this machine.

Names are those of NVIDIA's Unreal plugin: with `-AR` the regression model of an identity, without it the diffusion
model. Clips of any length are animated, also those under half a second, whose emotion and face parameters NVIDIA's
plugin drops: here they hold as for any other clip.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...animation.shaping import BlendShapeShaping
from ...emotions import EmotionTrack
from ...errors import FacewaveError, SessionError, SettingsError
from ...frames import Frame, StreamInfo
from ...inference.fastest import faster_with, open_network
from ...inference.onnx import Network, return_memory
from ...inference.store import cache_folder
from ...inference.variants import variant_file
from ...settings import FacewaveSettings
from ...streams import StreamSettings
from ...timing import MAX_FPS, MIN_FPS, SAMPLE_RATE
from ..base import ProviderInfo, checked_samples
from .executors.diffusion import DiffusionExecutor, DiffusionStream
from .executors.emotion import DetectedEmotion, EmotionExecutor, GivenEmotion, resting_emotion
from .executors.interactive import InteractiveClip
from .executors.regression import RegressionExecutor, RegressionStream
from .executors.windows import AudioFeed, NetworkFrames
from .folder.bundle import DiffusionBundle, EmotionBundle, FaceBundle, RegressionBundle
from .folder.network import check_network
from .locate import FaceKind, find_emotion, find_face, identity_index
from .options import ModelOptions
from .post.collapsed_cache import CollapsedCache, content_key
from .post.face import FaceModel, FaceStream

REGRESSION_FPS, DIFFUSION_FPS = Fraction(30), Fraction(60)
"""Frame rates of NVIDIA's plugin; the diffusion one is a property of the published network."""

_LOOK_AHEAD = {"regression": 4160, "diffusion": 12_000}
"""Samples, of the published models; what a model on disk needs is known once it is loaded."""


@dataclass(slots=True)
class _Loaded:
    """What `allocate` makes and `free` lets go."""

    face: FaceBundle
    network: Network
    identity: int
    model: FaceModel
    emotion: EmotionExecutor | None
    executors: dict[Fraction, RegressionExecutor | DiffusionExecutor]

    def memory(self) -> int:
        """Bytes of the networks' weights and of the meshes or small matrices."""
        networks = [self.network.path] + ([] if self.emotion is None else [self.emotion.network_path])
        return sum(path.stat().st_size for path in networks) + self.model.memory()


class A2FProvider:
    """One identity of a face model, with Audio2Emotion where there is one. Shared; loads on first use."""

    def __init__(
        self,
        name: str,
        identity: str,
        kind: FaceKind,
        settings: FacewaveSettings | None = None,
        options: ModelOptions | None = None,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            name: Name users choose it by.
            identity: Which identity of the model.
            kind: Kind of face model.
            settings: `[models]`: which folders, which device, how many threads.
            options: How the models are run.
        """
        self._name = name
        self._identity = identity
        self._kind: FaceKind = kind
        self._settings = settings or FacewaveSettings()
        self._options = options or ModelOptions()
        self._loaded: _Loaded | None = None
        self._open_sessions = 0
        self._free_when_idle = False
        self._lock = threading.RLock()

    @property
    def info(self) -> ProviderInfo:
        """Name, rates and look-ahead, those of the published model until a model is loaded; loads nothing."""
        loaded = self._loaded
        rate = REGRESSION_FPS if self._kind == "regression" else DIFFUSION_FPS
        ahead = _LOOK_AHEAD[self._kind]
        if loaded is not None:
            rate = self._rate(loaded.face, None)
            ahead = _look_ahead(loaded)
        free = self._kind == "regression"
        return ProviderInfo(
            name=self._name,
            kind="local",
            description=f"NVIDIA-format {self._kind} model of {self._identity}, from a folder on this machine",
            frame_rate=rate,
            frame_rates=(MIN_FPS, MAX_FPS) if free else (rate, rate),
            look_ahead=ahead,
            loaded=loaded is not None,
            memory=self._files if loaded is None else loaded.memory(),
            hint=faster_with(self._settings.models.variant, self._settings.models.device),
        )

    @cached_property
    def _files(self) -> int | None:
        """Bytes of the networks that `allocate` would load; None without a usable model."""
        variant = self._settings.models.variant
        try:
            heard = find_emotion(self._settings)
            bundles = [find_face(self._settings, self._kind, self._identity), *([heard] if heard else [])]
            files = [variant_file(bundle.network, variant) for bundle in bundles]
        except FacewaveError:
            return None
        return sum(
            (path if path.is_file() else bundle.network).stat().st_size
            for path, bundle in zip(files, bundles, strict=True)
        )

    def require(self) -> None:
        """Check that there is a model to load; reads no network.

        Raises:
            ProviderUnavailableError: No model is here.
            ModelError: The model that is named is missing, damaged or of another kind.
        """
        identity_index(find_face(self._settings, self._kind, self._identity), self._identity)
        find_emotion(self._settings)

    def open(self, settings: StreamSettings) -> A2FSession:
        """Start a stream.

        Raises:
            SettingsError: A diffusion model asked for another frame rate than its own, or a parameter out of range.
            ProviderUnavailableError: No model is here, or it has no blend shapes.
            ModelError: The model's folder is damaged.
        """
        with self._lock:
            loaded = self._load()
            fps = self._rate(loaded.face, settings.frame_rate)
            executor = self._executor(loaded, fps)
            face = loaded.model.open(settings.face_parameters, float(1 / fps), geometry=settings.geometry)
            session = A2FSession(self, settings, fps, loaded, executor, face)
            self._open_sessions += 1
            self._free_when_idle = False
        return session

    def open_clip(self, samples: NDArray[np.float32], settings: StreamSettings) -> InteractiveClip:
        """Take a whole clip whose frames can be asked for in any order; for scrubbing and for trying parameters.

        The clip keeps the networks it needs, whatever `free` does.

        Args:
            samples: Shape (n,), mono in [-1, 1], 16 kHz.
            settings: As for `open`.

        Raises:
            AudioError: Not shape (n,), or not finite.
            SettingsError, ProviderUnavailableError, ModelError: As for `open`.
        """
        with self._lock:
            loaded = self._load()
            fps = self._rate(loaded.face, settings.frame_rate)
            executor = self._executor(loaded, fps)
        rest = resting_emotion(loaded.face)
        return InteractiveClip(samples, settings, fps, loaded.model, executor, loaded.identity, loaded.emotion, rest)

    def version(self) -> str:
        """A digest of all files in the folders of the face and the emotion model.

        Raises:
            ProviderUnavailableError, ModelError: As for `open`.
        """
        heard = find_emotion(self._settings)
        folders = [find_face(self._settings, self._kind, self._identity).folder, *([heard.folder] if heard else [])]
        return content_key(*(path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()))

    def allocate(self) -> None:
        """Load the networks now. Idempotent."""
        with self._lock:
            self._load()

    def free(self) -> None:
        """Let everything go once the last stream has ended. Idempotent."""
        with self._lock:
            self._free_when_idle = True
            self._release()

    def step(self, sessions: Sequence[A2FSession]) -> list[list[Frame]]:
        """Run everything due in many streams as few batches; the frames of each stream, in the order given.

        The streams have been fed by `A2FSession.feed` or `end`. Results equal those of stepping them one by one up to
        the rounding of batched arithmetic (1e-5 in weights). Streams whose audio has ended are closed by it.
        """
        try:
            return self._step(sessions)
        finally:
            for session in sessions:
                session.close_if_ended()

    def _step(self, sessions: Sequence[A2FSession]) -> list[list[Frame]]:
        results: list[list[Frame]] = [[] for _ in sessions]
        listening = [session for session in sessions if session.detected is not None]
        if listening:
            executor = listening[0].emotion_executor
            assert executor is not None
            executor.step([session.detected for session in listening if session.detected is not None])
        groups: dict[int, list[int]] = {}
        for number, session in enumerate(sessions):
            groups.setdefault(id(session.executor), []).append(number)
        for numbers in groups.values():
            members = [sessions[number] for number in numbers]
            more = True
            while more:  # in portions, because what a diffusion network puts out takes 0.4 MB a frame
                for number, frames in zip(numbers, _run(members), strict=True):
                    results[number] += sessions[number].finished(frames)
                more = any(session.has_more() for session in members)
        return results

    def session_ended(self) -> None:
        """Called once by each session that ends."""
        with self._lock:
            self._open_sessions -= 1
            self._release()

    def _release(self) -> None:
        if self._free_when_idle and self._open_sessions == 0:
            self._free_when_idle = False
            if self._loaded is not None:
                self._loaded = None
                return_memory()

    def _load(self) -> _Loaded:
        if self._loaded is None:
            models, options = self._settings.models, self._options
            face = find_face(self._settings, self._kind, self._identity)
            heard = find_emotion(self._settings)
            index = identity_index(face, self._identity)
            network = open_network(face.network, models.variant, threads=models.threads, device=models.device)
            check_network(network, face)
            cache = CollapsedCache(cache_folder() / "collapsed")
            model = FaceModel(face, face.identities[index], options, cache)
            self._loaded = _Loaded(face, network, index, model, self._load_emotion(heard), {})
        return self._loaded

    def _load_emotion(self, bundle: EmotionBundle | None) -> EmotionExecutor | None:
        if bundle is None:
            return None
        models = self._settings.models
        # A form that nobody made for this model is no error: the face's may be wanted alone.
        network = open_network(
            bundle.network, models.variant, threads=models.threads, device=models.device, optional=True
        )
        check_network(network, bundle)
        return EmotionExecutor(bundle, network, self._options.emotion_rate, feedback=self._options.emotion_feedback)

    def _rate(self, face: FaceBundle, wanted: Fraction | None) -> Fraction:
        if isinstance(face, RegressionBundle):
            return wanted or REGRESSION_FPS
        own = Fraction(face.frames * SAMPLE_RATE, face.buffer_length)
        if wanted is not None and wanted != own:
            raise SettingsError(
                f"frame rate of {self._name}: found {float(wanted):g}, expected {float(own):g}, which the diffusion "
                "model has built in; resample the animation afterwards, or use the -AR provider"
            )
        return own

    def _executor(self, loaded: _Loaded, fps: Fraction) -> RegressionExecutor | DiffusionExecutor:
        if fps not in loaded.executors:
            face, options = loaded.face, self._options
            if isinstance(face, RegressionBundle):
                loaded.executors[fps] = RegressionExecutor(face, loaded.network, fps)
            else:
                strength = face.identities[loaded.identity].input_strength if options.file_input_strength else 1.0
                loaded.executors[fps] = DiffusionExecutor(
                    face,
                    loaded.network,
                    constant_noise=options.constant_noise,
                    noise_seed=options.noise_seed,
                    exact_times=options.exact_frame_times,
                    input_strength=strength,
                )
        return loaded.executors[fps]


class A2FSession:
    """One stream through a face model."""

    def __init__(
        self,
        provider: A2FProvider,
        settings: StreamSettings,
        fps: Fraction,
        loaded: _Loaded,
        executor: RegressionExecutor | DiffusionExecutor,
        face: FaceStream,
    ) -> None:
        self._provider = provider
        self._face = face
        self._info = StreamInfo(fps, face.channels)
        self._shaping = BlendShapeShaping(face.channels, settings.multipliers, settings.offsets, clamp=settings.clamp)
        self._audio = AudioFeed()
        self._given = GivenEmotion(settings.emotion, settings.emotion_track, resting_emotion(loaded.face))
        self.emotion_executor = loaded.emotion
        self.detected: DetectedEmotion | None = None
        if loaded.emotion is not None:
            self.detected = loaded.emotion.open(self._audio, settings.emotion, self._given)
        source = self.detected or self._given
        self.executor = executor
        self.stream: RegressionStream | DiffusionStream
        if isinstance(executor, RegressionExecutor):
            self.stream = RegressionStream(self._audio, source)
        else:
            self.stream = executor.open(self._audio, source, loaded.identity)
        self.strength = settings.face_parameters.get("inputStrength", executor.input_strength)
        """Gain on the audio before the network."""

        self._ended = False
        self._closed = False

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
        self.close_if_ended()

    def close_if_ended(self) -> None:
        """Let the models go once the audio has ended, so that a session kept by its user keeps no model. Idempotent."""
        if self._ended and not self._closed:
            self._closed = True
            del self.executor, self.stream, self.emotion_executor, self._face
            self.detected = None
            self._provider.session_ended()

    def feed(self, samples: NDArray[np.float32], emotion: EmotionTrack | None = None) -> None:
        """Take audio without running the networks yet.

        Raises:
            AudioError: Not shape (n,), or not finite.
            SessionError: The stream has ended.
        """
        if self._ended:
            raise SessionError("LocalA2F session: audio after finish or cancel; open a new session for a new clip")
        samples = checked_samples(samples)
        if emotion is not None:
            self._given.replace(emotion)
        self._audio.buffer.append(samples)

    def end(self) -> None:
        """Declare the end of the audio without running the networks yet.

        Raises:
            SessionError: The stream has ended already.
        """
        if self._ended:
            raise SessionError("LocalA2F session: finished or cancelled already; open a new session for a new clip")
        self._ended = True
        self._audio.buffer.close()

    def has_more(self) -> bool:
        """Whether the network has windows left to run on the audio that is here."""
        return self.executor.due(self.stream) > 0  # type: ignore[arg-type]

    def finished(self, made: NetworkFrames) -> list[Frame]:
        """Turn network output into frames, and forget the audio nobody reads any more."""
        self._forget()
        if not len(made.rows):
            return []
        weights, geometry = self._face.frames(made.rows)
        weights = self._shaping(weights)
        return [
            Frame(
                made.index + i,
                int(made.samples[i]),
                weights[i],
                made.emotions[i],
                geometry=None if geometry is None else geometry[i],
            )
            for i in range(len(weights))
        ]

    def _forget(self) -> None:
        starts = [self.executor.next_start(self.stream)]  # type: ignore[arg-type]
        if self.detected is not None and self.emotion_executor is not None:
            starts.append(self.emotion_executor.next_start(self.detected))
            self.detected.forget_before(starts[0])
        self._audio.release(*starts)


def _run(sessions: Sequence[A2FSession]) -> list[NetworkFrames]:
    """One step of the executor that all these sessions share."""
    executor = sessions[0].executor
    strengths = [session.strength for session in sessions]
    if isinstance(executor, RegressionExecutor):
        regression = [session.stream for session in sessions if isinstance(session.stream, RegressionStream)]
        return executor.step(regression, strengths)
    diffusion = [session.stream for session in sessions if isinstance(session.stream, DiffusionStream)]
    return executor.step(diffusion, strengths)


def _look_ahead(loaded: _Loaded) -> int:
    """Samples after a frame's own that must have arrived, for the frame that waits longest."""
    face = loaded.face
    if isinstance(face, DiffusionBundle):
        samples_per_frame = Fraction(face.buffer_length, face.frames)
        ahead = face.buffer_length - int(face.frames_left * samples_per_frame)
    else:
        ahead = face.buffer_length - face.buffer_offset
    return ahead if loaded.emotion is None else max(ahead, loaded.emotion.rate.look_ahead)


def claire(settings: FacewaveSettings) -> A2FProvider:
    """`LocalA2F-Claire`."""
    return A2FProvider("LocalA2F-Claire", "Claire", "diffusion", settings)


def james(settings: FacewaveSettings) -> A2FProvider:
    """`LocalA2F-James`."""
    return A2FProvider("LocalA2F-James", "James", "diffusion", settings)


def mark(settings: FacewaveSettings) -> A2FProvider:
    """`LocalA2F-Mark`."""
    return A2FProvider("LocalA2F-Mark", "Mark", "diffusion", settings)


def claire_regression(settings: FacewaveSettings) -> A2FProvider:
    """`LocalA2F-Claire-AR`."""
    return A2FProvider("LocalA2F-Claire-AR", "Claire", "regression", settings)


def james_regression(settings: FacewaveSettings) -> A2FProvider:
    """`LocalA2F-James-AR`."""
    return A2FProvider("LocalA2F-James-AR", "James", "regression", settings)


def mark_regression(settings: FacewaveSettings) -> A2FProvider:
    """`LocalA2F-Mark-AR`."""
    return A2FProvider("LocalA2F-Mark-AR", "Mark", "regression", settings)
