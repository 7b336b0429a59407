"""Sound inputs of every kind, small, and made by code."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import yaml

from facewave.audio.files import write_wav
from facewave.blendshapes import ARKIT
from facewave.emotions import EMOTIONS
from facewave.frames import Animation, StreamInfo
from facewave.outputs import FORMATS
from facewave.server.defaults import DEFAULTS
from facewave.timing import frame_rate
from facewave.wire import animation
from facewave.wire._proto import a2f_authoring_pb2, a2f_pb2, animation_data_pb2, controller_pb2
from facewave.wire._proto.a2f_pb2 import AudioWithEmotion
from facewave.wire._proto.animation_id_pb2 import AnimationIds
from facewave.wire._proto.emotion_with_timecode_pb2 import EmotionWithTimeCode
from facewave.wire.a2f import audio_header, pcm_of
from tests.fuzz.mutations import Seed
from tests.model_folders import diffusion_folder, emotion_folder, regression_folder

TONE = (0.3 * np.sin(np.arange(1600) / 7)).astype(np.float32)
"""A tenth of a second at 16 kHz."""


def audio_files() -> list[Seed]:
    """Every container and coding that is read, mono and stereo."""
    stereo = np.stack([TONE, TONE], axis=1)
    forms = [
        ("wav", "WAV", "PCM_16", 16000), ("wav", "WAV", "FLOAT", 48000), ("wav", "WAV", "ULAW", 8000),
        ("wav", "WAVEX", "PCM_24", 44100), ("wav", "WAV", "IMA_ADPCM", 16000), ("wav", "RF64", "PCM_16", 16000),
        ("flac", "FLAC", "PCM_16", 16000), ("ogg", "OGG", "VORBIS", 16000), ("opus", "OGG", "OPUS", 16000),
        ("aiff", "AIFF", "PCM_16", 22050), ("aifc", "AIFF", "ALAW", 8000), ("mp3", "MP3", "MPEG_LAYER_III", 16000),
    ]  # fmt: skip
    made = []
    for index, (ending, form, coding, rate) in enumerate(forms):
        target = io.BytesIO()
        soundfile.write(target, stereo if index % 3 == 1 else TONE, rate, coding, format=form)
        made.append(Seed(f"{coding.lower()}.{ending}", target.getvalue()))
    return made


def pcm_streams() -> list[Seed]:
    """Audio as it comes through a pipe."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.wav"
        write_wav(path, TONE, 16000)
        return [Seed("pipe.wav", path.read_bytes()), Seed("pipe.raw", pcm_of(TONE))]


def animation_files() -> list[Seed]:
    """One file of every format that can be read back."""
    rng = np.random.default_rng(0)
    info = StreamInfo(frame_rate(30), audio=Path("speech.wav"))
    take = Animation(
        info,
        rng.random((4, len(info.channels)), np.float32),
        rng.random((4, len(EMOTIONS)), np.float32),
        head=rng.random((4, 3), np.float32),
    )
    made = []
    with tempfile.TemporaryDirectory() as folder:
        for row in FORMATS:
            if row.readable:
                path = Path(folder) / f"take{row.extension}"
                take.save(path)
                made.append(Seed(path.name, path.read_bytes()))
    return made


def server_files() -> list[Seed]:
    """The three configuration files with every key at its default."""
    return [Seed(name, yaml.safe_dump(json.loads(json.dumps(values))).encode()) for name, values in DEFAULTS.items()]


def emotion_files() -> list[Seed]:
    """Emotion keys in both spellings."""
    keys = [{"time_code": t, "emotions": {"joy": 0.5, "anger": 0.1 * t}} for t in (0.0, 1.5, 2)]
    named = {"emotion_with_timecode_list": {f"key{i}": key for i, key in enumerate(keys)}}
    shared = b"emotion_with_timecode_list:\n- {time_code: 0.0, emotions: &e {joy: 1}}\n- {time_code: 1, emotions: *e}\n"
    return [
        Seed("keys.json", json.dumps(keys).encode()),
        Seed("keys.yaml", yaml.safe_dump(named).encode()),
        Seed("shared.yaml", shared),
    ]


def settings_files() -> list[Seed]:
    """A `facewave.toml` with a key of every type."""
    text = """provider = "Embedded"
[embedded]
look_ahead_ms = 50
[remote]
url = "http://127.0.0.1:52000"
timeout_s = 2.5
[models]
path = ["models", "more"]
device = "cpu"
threads = 1
"""
    return [Seed("facewave.toml", text.encode())]


def model_folders() -> list[Seed]:
    """Every file of a folder of each kind, named KIND/FILE."""
    folder = pristine_models()
    return [
        Seed(str(path.relative_to(folder)), path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".json", ".npz", ".onnx")
    ]


@cache
def pristine_models() -> Path:
    """The folders those files come from."""
    folder = Path(tempfile.mkdtemp(prefix="facewave-fuzz-models-"))
    regression_folder(folder / "regression", emotions=EMOTIONS)
    diffusion_folder(folder / "diffusion", vertices=40, identities=("Mark",))
    emotion_folder(folder / "emotion")
    return folder


def client_messages() -> list[Seed]:
    """What clients send to the service, one message each."""
    pcm = pcm_of(TONE)
    keys = [EmotionWithTimeCode(time_code=0.02, emotion={"joy": 0.4})]
    spoken = AudioWithEmotion(audio_buffer=pcm, emotions=keys)
    return [
        Seed("controller.pb", controller_pb2.AudioStream(audio_stream_header=_header()).SerializeToString(),
             controller_pb2.AudioStream),
        Seed("audio.pb", controller_pb2.AudioStream(audio_with_emotion=spoken).SerializeToString(),
             controller_pb2.AudioStream),
        Seed("end.pb", controller_pb2.AudioStream(end_of_audio={}).SerializeToString(), controller_pb2.AudioStream),
    ]  # fmt: skip


def legacy_messages() -> list[Seed]:
    """The same of the one-way protocol."""
    header = a2f_pb2.AudioStreamHeader(
        animation_ids=AnimationIds(request_id="r", stream_id="s"),
        audio_header=audio_header(16000),
        face_params=_header().face_params,
        emotion_params=_header().emotion_params,
    )
    return [Seed("legacy.pb", a2f_pb2.AudioStream(audio_stream_header=header).SerializeToString(), a2f_pb2.AudioStream)]


def authoring_messages() -> list[Seed]:
    """Questions of the authoring service."""
    clip = a2f_authoring_pb2.AudioClip(audio_header=audio_header(16000), content=pcm_of(TONE))
    header = _header()
    pose = a2f_authoring_pb2.FacePoseRequest(
        audio_hash="0" * 64,
        preferred_emotions={"joy": 1.0},
        time_stamp=0.05,
        face_params=header.face_params,
        emotion_pp_params=header.emotion_post_processing_params,
        blendshape_params=header.blendshape_params,
    )
    return [
        Seed("clip.pb", clip.SerializeToString(), a2f_authoring_pb2.AudioClip),
        Seed("pose.pb", pose.SerializeToString(), a2f_authoring_pb2.FacePoseRequest),
    ]


def service_messages() -> list[Seed]:
    """What a service sends to its client."""
    weights = np.linspace(0, 1, 52, dtype=np.float32)
    aggregate = animation.emotion_aggregate(0.0, np.full(10, 0.1, np.float32))
    kind = controller_pb2.AnimationDataStream
    frame = animation.animation_data(1 / 30, weights, bytes(32), aggregate)
    parts = {
        "header": animation.stream_header(ARKIT, 16000, 1.0),
        "first": kind(animation_data=animation.animation_data(0.0, weights)),
        "frame": kind(animation_data=frame),
        "status": animation.status(animation.Status.WARNING, "careful"),
        "event": animation.end_of_processing(),
    }
    legacy = animation_data_pb2.AnimationDataStream(animation_data=frame)
    return [
        *(Seed(f"{name}.pb", part.SerializeToString(), kind) for name, part in parts.items()),
        Seed("legacy.pb", legacy.SerializeToString(), animation_data_pb2.AnimationDataStream),
    ]


def _header() -> controller_pb2.AudioStreamHeader:
    return controller_pb2.AudioStreamHeader(
        audio_header=audio_header(16000),
        face_params=a2f_pb2.FaceParameters(float_params={"skinStrength": 1.1}),
        emotion_post_processing_params=a2f_pb2.EmotionPostProcessingParameters(emotion_strength=0.5, max_emotions=2),
        blendshape_params=a2f_pb2.BlendShapeParameters(bs_weight_multipliers={"JawOpen": 1.5}),
        emotion_params=a2f_pb2.EmotionParameters(live_transition_time=0.5, beginning_emotion={"joy": 0.5}),
    )


PART = b"\n--part--\n"
"""Between the messages of a conversation; text messages begin with T, binary ones with B."""


def studio_conversations() -> list[Seed]:
    """What a page sends over its WebSocket."""
    settings = {
        "fps": 30, "emotion": {"joy": 0.5}, "emotionStrength": 0.6, "overrideStrength": 0.5,
        "emotionKeys": [[0, {"joy": 1}], [0.05, {"anger": 0.5}]], "faceParameters": {"skinStrength": 1.1},
        "multipliers": {"jawOpen": 1.2}, "offsets": {"jawOpen": 0.1}, "clamp": True,
    }  # fmt: skip
    start = {"type": "start", "sampleRate": 16000, "provider": "", "settings": settings}
    messages = [
        b"T" + json.dumps(start).encode(), b"B" + pcm_of(TONE), b'T{"type": "emotion", "values": {"joy": 0.7}}',
        b"B" + pcm_of(TONE), b'T{"type": "end"}',
    ]  # fmt: skip
    return [Seed("page.talk", PART.join(messages)), Seed("first.json", json.dumps(start).encode())]


def studio_forms() -> list[Seed]:
    """A clip as a browser uploads it."""
    wav = next(seed.data for seed in pcm_streams() if seed.name.endswith("wav"))
    fields = {"settings": '{"fps": 30, "emotion": {"joy": 1}}', "format": ".csv", "provider": "Embedded"}
    parts = [f'--xx\r\nContent-Disposition: form-data; name="{k}"\r\n\r\n{v}\r\n'.encode() for k, v in fields.items()]
    head = b'--xx\r\nContent-Disposition: form-data; name="audio"; filename="a clip.wav"\r\n\r\n'
    return [Seed("upload.form", b"".join(parts) + head + wav + b"\r\n--xx--\r\n")]


def store_entries() -> list[Seed]:
    """An entry of the model store."""
    return [Seed("facewave.json", b'{"kind": "regression", "source": "", "path": "model.json"}')]


SeedMaker = Callable[[], list[Seed]]
