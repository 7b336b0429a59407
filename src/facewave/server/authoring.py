"""The authoring service: upload a clip once, then ask for single poses with varying parameters.

A pose depends on nothing but its clip, its time and its parameters. It is made by a session of its own that hears the
clip from a little before the asked time, placed so that one of its frames lies exactly there.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import os
import shutil
import tempfile
import threading
from collections import OrderedDict
from pathlib import Path
from typing import NoReturn

import grpc
import numpy as np
from numpy.typing import NDArray

from ..audio.resample import StreamResampler
from ..blendshapes import pascal, reorder
from ..emotions import EMOTIONS
from ..frames import Frame
from ..providers.base import Provider
from ..streams import StreamSettings
from ..timing import SAMPLE_RATE, sample_of, samples_in
from ..wire import a2f
from ..wire._proto import a2f_authoring_service_pb2
from ..wire._proto.a2f_authoring_pb2 import AudioClip, AudioClipHandle, BlendShapeData, FacePoseRequest
from ..wire._proto.controller_pb2 import AudioStreamHeader
from .limits import Code, RefusalError, refusal_of
from .service import Context, abort
from .stream import Host

logger = logging.getLogger("facewave.server")

SERVICE = a2f_authoring_service_pb2.DESCRIPTOR.services_by_name["A2FAuthoringService"].full_name

CONTEXT_S = 1.5
"""Seconds of audio before a pose that its session hears, so that recurrent networks have settled."""

_MAX_FOLDER_BYTES = 512 * 2**20
_MAX_CLIPS_IN_MEMORY = 8
_SLACK = 256
"""Samples heard beyond the look-ahead, which frame rates round."""


class ClipStore:
    """Uploaded clips by hash, in a folder that worker processes share; the oldest go when it is full."""

    def __init__(self, folder: Path | None = None, max_bytes: int = _MAX_FOLDER_BYTES) -> None:
        """Args: the folder (None for a temporary one, removed by `close`), and how much it may hold."""
        self._own = folder is None
        self._folder = Path(tempfile.mkdtemp(prefix="facewave-clips-")) if folder is None else folder
        self._max_bytes = max_bytes
        self._recent: OrderedDict[str, NDArray[np.float32]] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, pcm: bytes, sample_rate: int) -> str:
        """Keep a clip; the same clip has the same hash.

        Raises:
            RefusalError: The disk is full.
        """
        digest = hashlib.sha256(pcm)
        if sample_rate != SAMPLE_RATE:
            # The same bytes at another rate are another clip.
            digest.update(sample_rate.to_bytes(4, "little"))
        name = digest.hexdigest()
        if not (self._folder / name).exists():
            resampler = StreamResampler(sample_rate)
            samples = np.concatenate([resampler.push(a2f.samples_of(pcm)), resampler.finish()])
            self._write(name, samples)
            self._remember(name, samples)
        return name

    def get(self, name: str) -> NDArray[np.float32]:
        """16 kHz samples of a clip.

        Raises:
            RefusalError: No such clip.
        """
        with self._lock:
            if name in self._recent:
                self._recent.move_to_end(name)
                return self._recent[name]
        path = self._folder / name
        # Only what could be a hash becomes a file name.
        if len(name) == 64 and all(letter in "0123456789abcdef" for letter in name) and path.is_file():
            samples = np.fromfile(path, np.float32)
            os.utime(path)
            self._remember(name, samples)
            return samples
        raise RefusalError(Code.NOT_FOUND, f"audio clip {name[:80]!r}: not uploaded, or gone; upload it again")

    def close(self) -> None:
        """Remove a temporary folder."""
        if self._own:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _remember(self, name: str, samples: NDArray[np.float32]) -> None:
        with self._lock:
            self._recent[name] = samples
            while len(self._recent) > _MAX_CLIPS_IN_MEMORY:
                self._recent.popitem(last=False)

    def _write(self, name: str, samples: NDArray[np.float32]) -> None:
        self._make_room(samples.nbytes)
        part = None
        try:
            descriptor, part = tempfile.mkstemp(dir=self._folder, suffix=".part")
            with os.fdopen(descriptor, "wb") as file:
                file.write(samples.tobytes())
            os.replace(part, self._folder / name)
        except OSError as error:
            if part is not None:
                Path(part).unlink(missing_ok=True)
            raise RefusalError(
                Code.RESOURCE_EXHAUSTED, f"the clip cannot be kept ({error.strerror}); try again later"
            ) from error

    def _make_room(self, needed: int) -> None:
        files = sorted(
            ((path.stat().st_mtime, path.stat().st_size, path) for path in self._folder.iterdir()),
            key=lambda row: row[0],
        )
        held = sum(size for _, size, _ in files)
        for _, size, path in files:
            if held + needed <= self._max_bytes:
                return
            path.unlink(missing_ok=True)
            held -= size


class AuthoringService:
    """`A2FAuthoringService` over any provider."""

    def __init__(self, host: Host, store: ClipStore) -> None:
        self._host = host
        self._store = store

    def handler(self) -> grpc.GenericRpcHandler:
        """What to add to a gRPC server."""
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "UploadAudioClip": grpc.unary_unary_rpc_method_handler(
                    self.upload_audio_clip,
                    request_deserializer=AudioClip.FromString,
                    response_serializer=AudioClipHandle.SerializeToString,
                ),
                "GetAvatarFacePose": grpc.unary_unary_rpc_method_handler(
                    self.get_avatar_face_pose,
                    request_deserializer=FacePoseRequest.FromString,
                    response_serializer=BlendShapeData.SerializeToString,
                ),
            },
        )

    async def upload_audio_clip(self, request: AudioClip, context: Context) -> AudioClipHandle:
        """Keep a clip and name it."""
        try:
            rate = a2f.sample_rate_of(request.audio_header)
            limits = self._host.config.limits
            limits.check_rate(rate)
            seconds = len(request.content) / a2f.BYTES_PER_SAMPLE / rate
            if seconds > limits.max_audio_clip_size_second:
                raise RefusalError(
                    Code.INVALID_ARGUMENT,
                    f"audio clip: found {seconds:.1f} s, expected at most {limits.max_audio_clip_size_second:g} s",
                )
            if not request.content:
                raise RefusalError(Code.INVALID_ARGUMENT, "audio clip: found no audio")
            name = await asyncio.to_thread(self._store.add, request.content, rate)
        except Exception as error:
            await self._refuse(error, context)
        return AudioClipHandle(
            audio_clip_id=name, blendshape_names=[pascal(channel) for channel in self._host.shape.channels]
        )

    async def get_avatar_face_pose(self, request: FacePoseRequest, context: Context) -> BlendShapeData:
        """One pose."""
        try:
            samples = self._store.get(request.audio_hash)
            end = len(samples) / SAMPLE_RATE
            if not (math.isfinite(request.time_stamp) and 0 <= request.time_stamp <= end):
                raise RefusalError(
                    Code.INVALID_ARGUMENT, f"time_stamp: found {request.time_stamp}, expected 0 to {end:.3f} s"
                )
            settings = self._settings(request)
            at = samples_in(request.time_stamp)
            frame, channels = await asyncio.to_thread(pose, self._host.provider, settings, samples, at)
        except Exception as error:
            await self._refuse(error, context)
        weights = reorder(frame.weights, channels, self._host.shape.channels)
        emotion = np.zeros(len(EMOTIONS), np.float32) if frame.emotion is None else frame.emotion
        return BlendShapeData(
            blendshapes=weights.tolist(),
            time_code=request.time_stamp,
            emotions=dict(zip(EMOTIONS, emotion.tolist(), strict=True)),
        )

    def _settings(self, request: FacePoseRequest) -> StreamSettings:
        header = AudioStreamHeader(
            face_params=request.face_params,
            emotion_post_processing_params=request.emotion_pp_params,
            blendshape_params=request.blendshape_params,
        )
        tuning = a2f.tuning_of(header, self._host.config.tuning)
        given = a2f.emotions_of(request.preferred_emotions, [])
        return tuning.stream_settings(None, {0.0: given} if given else None)

    async def _refuse(self, error: Exception, context: Context) -> NoReturn:
        refusal = refusal_of(error)
        if refusal.code is Code.INTERNAL:
            logger.error("authoring request failed", exc_info=error)
        await abort(context, refusal)


def pose(
    provider: Provider, settings: StreamSettings, samples: NDArray[np.float32], at: int
) -> tuple[Frame, tuple[str, ...]]:
    """The frame that lies at sample `at` of a clip, heard in the context around it, and its channels.

    Args:
        provider: Makes the session.
        settings: Of the session; the frame rate is the provider's own.
        samples: Shape (n,), 16 kHz.
        at: 0 ... n.
    """
    session = provider.open(settings)
    try:
        fps = session.info.frame_rate
        index = math.ceil(CONTEXT_S * fps)
        start = at - sample_of(index, fps)
        stop = at + provider.info.look_ahead + _SLACK
        heard = samples[max(0, start) : stop]
        # Silence before the clip, and after it as far as the session looks ahead.
        heard = np.pad(heard, (max(0, -start), max(0, stop - max(start, 0) - len(heard))))
        frames = [*session.push(heard), *session.finish()]
        return frames[min(index, len(frames) - 1)], session.info.channels
    finally:
        session.cancel()
