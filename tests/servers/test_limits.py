"""What is refused, with which code and words, and that a refusal frees everything the call held."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest

from facewave.server.limits import Code, InputWatch, Limits, RefusalError, refusal_of
from facewave.wire._proto import a2f_controller_service_pb2_grpc as controller_grpc
from facewave.wire._proto.a2f_pb2 import BlendShapeParameters, EmotionPostProcessingParameters, FaceParameters
from facewave.wire._proto.audio_pb2 import AudioHeader
from facewave.wire._proto.controller_pb2 import AudioStream, AudioStreamHeader
from facewave.wire._proto.emotion_with_timecode_pb2 import EmotionWithTimeCode
from facewave.wire._proto.status_pb2 import Status
from tests.servers.loudness import BatchLoudnessProvider, LoudnessProvider
from tests.servers.serving import RunningServer, audio, call, config, end, header, serving, speech, wait_until

INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(BatchLoudnessProvider()) as running:
        yield running


def _header(**changes: int) -> AudioStream:
    sound = {"channel_count": 1, "samples_per_second": 16_000, "bits_per_sample": 16} | changes
    return AudioStream(audio_stream_header=AudioStreamHeader(audio_header=AudioHeader(**sound)))  # type: ignore[arg-type]


def _face(value: float) -> AudioStream:
    return header(face_params=FaceParameters(float_params={"skinStrength": value}))


NAN = float("nan")
SECOND = bytes(32_000)

REFUSED: dict[str, tuple[Callable[[], list[AudioStream]], str]] = {
    "no message": (list, "without a message"),
    "no header": (lambda: [audio(SECOND), end()], "first message must be the header"),
    "end first": (lambda: [end()], "first message must be the header"),
    "empty first message": (lambda: [AudioStream()], "first message must be the header"),
    "empty message": (lambda: [header(), AudioStream()], "empty message"),
    "second header": (lambda: [header(), header()], "second header"),
    "stereo": (lambda: [_header(channel_count=2)], "channel count: found 2, expected 1"),
    "no channel": (lambda: [_header(channel_count=0)], "channel count: found 0"),
    "8 bit": (lambda: [_header(bits_per_sample=8)], "bits per sample: found 8, expected 16"),
    "unknown format": (lambda: [_header(audio_format=3)], "format: found 3, expected 0"),
    "8 kHz": (lambda: [header(8000)], "found 8000 Hz, expected 16000 to 144000 Hz"),
    "200 kHz": (lambda: [header(200_000)], "found 200000 Hz, expected 16000 to 144000 Hz"),
    "no rate": (lambda: [header(0)], "rate"),
    "11 s buffer": (lambda: [header(), audio(11 * SECOND)], "found 11.00 s of audio in one message"),
    "301 s clip": (lambda: [header(), *[audio(7 * SECOND)] * 43], "longer than 300 s"),
    "odd number of bytes": (lambda: [header(), audio(bytes(1067))], "found 1067 bytes"),
    "NaN face parameter": (lambda: [_face(NAN)], "skinStrength: found nan"),
    "infinite face parameter": (lambda: [_face(float("inf"))], "skinStrength: found inf"),
    "NaN multiplier": (
        lambda: [header(blendshape_params=BlendShapeParameters(bs_weight_multipliers={"JawOpen": NAN}))],
        "JawOpen: found nan",
    ),
    "NaN strength": (
        lambda: [header(emotion_post_processing_params=EmotionPostProcessingParameters(emotion_strength=NAN))],
        "emotion_strength: found nan",
    ),
    "NaN emotion": (
        lambda: [header(), audio(SECOND, [EmotionWithTimeCode(time_code=0, emotion={"joy": NAN})])],
        "joy: found nan",
    ),
    "NaN time code": (
        lambda: [header(), audio(SECOND, [EmotionWithTimeCode(time_code=NAN, emotion={"joy": 1})])],
        "time code: found nan",
    ),
    "too many emotion keys": (
        lambda: [header(), audio(b"", [EmotionWithTimeCode(time_code=i) for i in range(20_001)])],
        "more than 20000",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_input_that_cannot_be_used_is_refused_with_a_reason(server: RunningServer, name: str) -> None:
    requests, words = REFUSED[name]
    answer = call(server.target, requests())
    assert answer.code is INVALID, answer.details
    assert words in answer.details
    assert "status" not in answer.parts
    wait_until(lambda: server.streams_in_use == 0)


ACCEPTED: dict[str, list[AudioStream]] = {
    "unknown emotion": [header(), audio(SECOND, [EmotionWithTimeCode(time_code=0, emotion={"out_of_breath": 1})])],
    "unknown shape": [
        header(blendshape_params=BlendShapeParameters(bs_weight_multipliers={"HeadRoll": 1.0})), audio(SECOND),
    ],
    "out-of-range parameter": [_face(99.0), audio(SECOND)],
    "out-of-range emotion": [header(), audio(SECOND, [EmotionWithTimeCode(time_code=0, emotion={"joy": 7})])],
    "emotions out of order": [
        header(),
        audio(SECOND[:16_000], [EmotionWithTimeCode(time_code=t, emotion={"joy": t / 9}) for t in (5.0, 0.0, 5.0)]),
        audio(SECOND[16_000:], [EmotionWithTimeCode(time_code=-1.0, emotion={"joy": 1})]),
    ],
    "10 s buffer and 144 kHz": [header(144_000), audio(bytes(2 * 144_000))],
    "empty buffers": [header(), audio(b""), audio(SECOND), audio(b"")],
}  # fmt: skip


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_loose_clients_send_is_accepted(server: RunningServer, name: str) -> None:
    answer = call(server.target, [*ACCEPTED[name], end()])
    assert (answer.code, answer.details) == (grpc.StatusCode.OK, "")
    assert len(answer.frames) == 30
    assert answer.statuses[-1].code == Status.SUCCESS


def test_data_after_the_end_is_ignored_with_a_warning(server: RunningServer) -> None:
    def requests() -> Iterator[AudioStream]:
        yield header()
        yield audio(SECOND)
        yield end()
        yield audio(SECOND)
        yield header()

    with serving(BatchLoudnessProvider(), config({"pipeline_parameters.burst_mode": False})) as paced:
        answer = call(paced.target, requests())
    assert answer.code is grpc.StatusCode.OK
    assert len(answer.frames) == 30
    assert [status.code for status in answer.statuses] == [Status.WARNING, Status.SUCCESS]
    assert answer.parts[-3:] == ["event", "status", "status"]


def test_300_s_clip_is_accepted(server: RunningServer) -> None:
    answer = call(server.target, [header(), *[audio(10 * SECOND)] * 30, end()])
    assert answer.code is grpc.StatusCode.OK
    assert len(answer.frames) == 9000


# Row 9.


def test_disconnected_client_frees_its_place_within_a_second() -> None:
    provider = BatchLoudnessProvider()
    with serving(provider) as server:
        channel = grpc.insecure_channel(server.target)

        def requests() -> Iterator[AudioStream]:
            yield header()
            yield audio(speech(2.0))
            time.sleep(30)

        responses = controller_grpc.A2FControllerServiceStub(channel).ProcessAudioStream(requests())
        next(iter(responses))
        assert server.streams_in_use == 1
        responses.cancel()
        wait_until(lambda: server.streams_in_use == 0, timeout=1)
        wait_until(lambda: provider.open_sessions == 0, timeout=1)
        channel.close()


def test_lost_connection_frees_its_place_within_a_second() -> None:
    provider = BatchLoudnessProvider()
    with serving(provider) as server:
        channel = grpc.insecure_channel(server.target)

        def requests() -> Iterator[AudioStream]:
            yield header()
            yield audio(speech(2.0))
            time.sleep(30)

        next(iter(controller_grpc.A2FControllerServiceStub(channel).ProcessAudioStream(requests())))
        channel.close()
        wait_until(lambda: server.streams_in_use == 0, timeout=1)
        wait_until(lambda: provider.open_sessions == 0, timeout=1)


# Row 10, with short limits on a real clock; the arithmetic is tested below with a clock that is an argument.


def _slow(chunk_s: float, pause_s: float, count: int) -> Iterator[AudioStream]:
    yield header()
    for _ in range(count):
        yield audio(bytes(2 * round(16_000 * chunk_s)))
        time.sleep(pause_s)


@pytest.mark.parametrize(
    ("limits", "requests", "words"),
    [
        ({"max_wait_time_idle_ms": 300}, lambda: _slow(1.0, 20, 1), "max_wait_time_idle_ms"),
        ({"low_fps_max_duration_second": 0.5}, lambda: _slow(0.05, 0.2, 100), "low_fps = 29"),
        ({"max_processing_duration_second": 0.5}, lambda: _slow(0.1, 0.1, 300), "max_processing_duration_second"),
    ],
)
def test_clients_that_take_too_long_are_cut(limits: dict[str, Any], requests: Any, words: str) -> None:
    advanced = {f"input_sanitization.{key}": value for key, value in limits.items()}
    provider = BatchLoudnessProvider()
    with serving(provider, config(advanced)) as server:
        answer = call(server.target, requests(), timeout=15)
        assert answer.code is grpc.StatusCode.DEADLINE_EXCEEDED
        assert words in answer.details
        wait_until(lambda: server.streams_in_use == 0 and provider.open_sessions == 0, timeout=1)


def test_client_that_says_nothing_at_all_is_cut() -> None:
    def requests() -> Iterator[AudioStream]:
        time.sleep(20)
        yield header()

    with serving(LoudnessProvider(), config({"input_sanitization.max_wait_time_idle_ms": 300})) as server:
        answer = call(server.target, requests(), timeout=15)
    assert answer.code is grpc.StatusCode.DEADLINE_EXCEEDED
    assert "max_wait_time_idle_ms" in answer.details


# The arithmetic of the limits.


def _watch(**limits: float) -> InputWatch:
    watch = InputWatch(Limits(**limits), now=100.0)  # type: ignore[arg-type]
    watch.header(16_000)
    return watch


def test_real_time_client_is_never_slow() -> None:
    watch = _watch()
    now = 100.0
    for _ in range(30 * 60):
        watch.message(now)
        watch.audio(2 * 534, now)
        watch.check(now)
        now += 1 / 30


def test_slow_client_is_cut_after_seven_seconds_and_not_before() -> None:
    watch = _watch()

    def send(tenth: int) -> None:
        now = 100.0 + tenth / 10
        watch.message(now)
        watch.audio(2 * 1440, now)  # 27 frames a second.
        watch.check(now)

    # It is behind from the second chunk on.
    for tenth in range(71):
        send(tenth)
    with pytest.raises(RefusalError, match="low_fps") as caught:
        deque(map(send, range(71, 90)), maxlen=0)
    assert caught.value.code is Code.DEADLINE_EXCEEDED


def test_time_in_which_the_server_itself_was_held_up_does_not_count() -> None:
    watch = _watch(low_fps_max_duration_second=7)
    watch.audio(2 * 16_000, 100.0)
    watch.check(103.0)
    watch.excuse(8.0)
    watch.message(111.0)
    watch.check(111.0)
    with pytest.raises(RefusalError, match="low_fps"):
        watch.check(118.5)


def test_client_that_catches_up_is_forgiven() -> None:
    watch = _watch()
    watch.audio(2 * 16_000, 100.0)
    for second in range(2, 7):
        watch.message(100.0 + second)
        watch.check(100.0 + second)
    watch.audio(2 * 96_000, 107.0)
    for second in range(7, 14):
        watch.message(100.0 + second)
        watch.check(100.0 + second)


def test_pause_after_a_burst_counts_as_idle_not_as_slow() -> None:
    watch = _watch(max_wait_time_idle_ms=30_000)
    watch.message(100.0)
    watch.audio(2 * 160_000, 100.0)
    watch.audio(2 * 160_000, 100.0)
    watch.check(119.0)
    with pytest.raises(RefusalError, match="idle"):
        watch.check(130.5)


def test_nothing_is_expected_after_the_end() -> None:
    watch = _watch()
    watch.audio(2 * 1600, 100.0)
    watch.end()
    watch.check(350.0)
    with pytest.raises(RefusalError, match="max_processing_duration_second"):
        watch.check(401.0)


def test_unexpected_errors_are_not_described_to_strangers() -> None:
    refusal = refusal_of(RuntimeError("secret path /srv/model"))
    assert refusal.code is Code.INTERNAL
    assert "secret" not in str(refusal)
