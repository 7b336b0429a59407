"""Record a loopback conversation, byte for byte: `python -m tests.servers.record_conversation`.

The provider is the tests' own loudness, so that the bytes depend on the wire and the server alone. The one value that
is not the same every time, the start time in the answer's header, is set to zero.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import grpc

from facewave.wire._proto.a2f_pb2 import BlendShapeParameters, EmotionPostProcessingParameters, FaceParameters
from facewave.wire._proto.controller_pb2 import AnimationDataStream, AudioStream
from facewave.wire._proto.emotion_with_timecode_pb2 import EmotionWithTimeCode
from tests.servers.loudness import LoudnessProvider
from tests.servers.serving import audio, chunks, end, header, serving

FIXTURE = Path(__file__).parent / "conversation.json"
METHOD = "/nvidia_ace.services.a2f_controller.v1.A2FControllerService/ProcessAudioStream"


def requests() -> Iterator[AudioStream]:
    """A fifth of a second with every kind of parameter; small, so that the fixture can be read."""
    yield header(
        face_params=FaceParameters(float_params={"lowerFaceStrength": 1.25}),
        emotion_post_processing_params=EmotionPostProcessingParameters(emotion_strength=0.0, max_emotions=6),
        blendshape_params=BlendShapeParameters(bs_weight_multipliers={"JawOpen": 0.5}),
    )
    ramp = b"".join((index * 13 % 4096).to_bytes(2, "little") for index in range(3200))
    for index, piece in enumerate(chunks(ramp, 2000)):
        yield audio(piece, [EmotionWithTimeCode(time_code=0.0, emotion={"joy": 1.0})] if index == 0 else [])
    yield end()


def converse(sent: list[bytes]) -> list[bytes]:
    """What a server answers to raw messages, with the start time set to zero."""
    with serving(LoudnessProvider()) as server, grpc.insecure_channel(server.target) as channel:
        method: grpc.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(METHOD)
        answers = list(method(iter(sent), timeout=60))
    first = AnimationDataStream.FromString(answers[0])
    first.animation_data_stream_header.start_time_code_since_epoch = 0
    return [first.SerializeToString(), *answers[1:]]


if __name__ == "__main__":
    client = [message.SerializeToString(deterministic=True) for message in requests()]
    record = {"client": [text.hex() for text in client], "server": [text.hex() for text in converse(client)]}
    FIXTURE.write_text(json.dumps(record, indent=1) + "\n")
