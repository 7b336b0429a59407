"""LegacyA2F and the animation stream against services of the one-way protocol, on real sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from facewave.blendshapes import ARKIT, CHANNELS, TONGUE
from facewave.emotions import EmotionSettings
from facewave.errors import ProviderUnavailableError, RemoteError, SettingsError
from facewave.frames import Frame
from facewave.providers.remote import receiver as receiver_module
from facewave.providers.remote.animation_stream import AnimationStream
from facewave.providers.remote.client import Inbox
from facewave.providers.remote.connection import Connection
from facewave.providers.remote.legacy import LegacyA2F, LegacyRoute, legacy_a2f
from facewave.providers.remote.options import RemoteOptions, RetryPolicy
from facewave.settings import load_settings
from facewave.streams import StreamSettings
from facewave.timing import frames_in
from facewave.wire import animation
from facewave.wire._proto import animation_data_pb2, animation_data_service_pb2_grpc
from facewave.wire._proto.animation_id_pb2 import AnimationIds
from facewave.wire.animation import Status
from tests.servers.awkward import NAMES_68, expected_weights
from tests.servers.awkward_legacy import LegacyHabits, LegacyService, Part

OPTIONS = RemoteOptions(connect_timeout_s=10.0, stall_timeout_s=20.0, retry=RetryPolicy(3, 0.05))
HASTY = RemoteOptions(connect_timeout_s=10.0, stall_timeout_s=0.6, retry=RetryPolicy(3, 0.05))
FREE_PORT = LegacyRoute(listen="127.0.0.1:0")


@pytest.fixture
def service() -> Iterator[LegacyService]:
    with LegacyService() as running:
        yield running


@pytest.fixture
def speech() -> NDArray[np.float32]:
    noise = np.random.default_rng(9).integers(-9000, 9000, 12_345)
    return (noise / 32768).astype(np.float32)


def delivering(service: LegacyService, options: RemoteOptions = OPTIONS) -> LegacyA2F:
    """A provider that listens, and the service told where."""
    service.deliver_to = ""
    provider = LegacyA2F(Connection(url=service.url), FREE_PORT, options)
    provider.allocate()
    service.deliver_to = provider.receiving
    return provider


def animated(provider: LegacyA2F, speech: NDArray[np.float32], settings: StreamSettings | None = None) -> list[Frame]:
    session = provider.open(settings or StreamSettings())
    frames: list[Frame] = []
    for start in range(0, len(speech), 1600):
        frames += session.push(speech[start : start + 1600])
    return frames + list(session.finish())


def assert_right(frames: list[Frame], speech: NDArray[np.float32], rate: Fraction = Fraction(30)) -> None:
    assert [frame.index for frame in frames] == list(range(frames_in(len(speech), rate)))
    for frame in frames:
        want = expected_weights(speech, frame.index, rate)
        got = dict(zip(CHANNELS, frame.weights.tolist(), strict=True))
        assert {name: got[name] for name in ARKIT} == pytest.approx({name: want[name] for name in ARKIT}, abs=1e-6)


def test_audio_goes_out_and_the_animation_is_delivered(service: LegacyService, speech: NDArray[np.float32]) -> None:
    provider = delivering(service)
    settings = StreamSettings(emotion=EmotionSettings(overrides={"joy": 1.0}), multipliers={"jawOpen": 2.0})
    assert_right(animated(provider, speech, settings), speech)
    clip = service.clips[0]
    assert bytes(clip.pcm) == np.round(speech * 32768).astype("<i2").tobytes()
    assert clip.header is not None
    assert clip.header.animation_ids.stream_id  # An empty one is the protocol's most common failure.
    assert 0 < len(clip.header.animation_ids.request_id) <= 50
    assert dict(clip.header.blendshape_params.bs_weight_multipliers) == {"JawOpen": 2.0}
    assert clip.keys == {0.0: {"joy": 1.0}}
    wait_for_answer(service)
    assert clip.answer is not None
    assert clip.answer.code == Status.SUCCESS
    provider.free()


def test_audio_goes_to_the_service_and_the_animation_is_fetched(
    service: LegacyService, speech: NDArray[np.float32]
) -> None:
    route = LegacyRoute(way="pull", pull_url=service.url)
    provider = LegacyA2F(Connection(url=service.url), route, OPTIONS)
    assert_right(animated(provider, speech), speech)
    provider.free()


def test_a_controller_gives_ids_takes_audio_and_has_the_animation(
    service: LegacyService, speech: NDArray[np.float32]
) -> None:
    provider = LegacyA2F(Connection(url=service.url), LegacyRoute(way="controller"), OPTIONS)
    assert_right(animated(provider, speech), speech)
    assert_right(animated(provider, speech[:5000]), speech[:5000])
    headers = [clip.header for clip in service.clips]
    assert [header.animation_ids.stream_id for header in headers if header] == ["stream-1", "stream-2"]
    provider.free()


@pytest.mark.parametrize(
    "habits",
    [
        LegacyHabits(final_status=False),
        LegacyHabits(names=NAMES_68, rate=Fraction(60)),
        LegacyHabits(deliver_delay_s=0.5),
    ],
)
def test_awkward_services_give_the_same_frames(
    service: LegacyService, speech: NDArray[np.float32], habits: LegacyHabits
) -> None:
    service.habits = habits
    provider = delivering(service)
    frames = animated(provider, speech)
    assert_right(frames, speech, habits.rate)
    tongue = [CHANNELS.index(name) for name in TONGUE]
    assert np.stack([frame.weights for frame in frames])[:, tongue].any() == (habits.names == NAMES_68)
    assert provider.info.frame_rate == habits.rate
    provider.free()


def test_clips_at_the_same_time_are_told_apart_by_their_ids(
    service: LegacyService, speech: NDArray[np.float32]
) -> None:
    provider = delivering(service)
    results: dict[int, list[Frame]] = {}
    threads = [
        threading.Thread(
            target=lambda number=number: results.update({number: animated(provider, speech[: 4000 + 800 * number])})
        )
        for number in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for number in range(6):
        assert_right(results[number], speech[: 4000 + 800 * number])
    provider.free()


@pytest.mark.parametrize("late_s", [0.0, 0.5])
def test_an_error_status_of_the_audio_call_is_an_error_also_after_the_animation(
    service: LegacyService, speech: NDArray[np.float32], late_s: float
) -> None:
    service.habits = LegacyHabits(error="empty stream_id", late_answer_s=late_s)
    provider = delivering(service)
    with pytest.raises(RemoteError, match="empty stream_id"):
        animated(provider, speech)
    provider.free()


def test_a_delivery_that_breaks_off_is_an_error(service: LegacyService, speech: NDArray[np.float32]) -> None:
    service.habits = LegacyHabits(break_after=5, final_status=False)
    provider = delivering(service)
    with pytest.raises(RemoteError, match="5 frames of 24"):
        animated(provider, speech)
    provider.free()


def test_a_service_that_is_still_loading_is_asked_again(service: LegacyService, speech: NDArray[np.float32]) -> None:
    service.habits = LegacyHabits(refuse_first=2)
    provider = delivering(service)
    assert_right(animated(provider, speech), speech)
    assert len(service.clips) == 3
    provider.free()


def test_a_service_that_delivers_elsewhere_is_told_by_the_message(
    service: LegacyService, speech: NDArray[np.float32]
) -> None:
    provider = delivering(service, HASTY)
    service.deliver_to = ""
    with pytest.raises(RemoteError, match=r"told to deliver its animation to 127\.0\.0\.1:\d+"):
        animated(provider, speech)
    provider.free()


def test_a_delivery_under_unknown_ids_is_refused_and_disturbs_nobody(
    service: LegacyService, speech: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiver_module, "LATE_S", 0.1)
    service.habits = LegacyHabits(wrong_ids=True)
    provider = delivering(service, replace(OPTIONS, stall_timeout_s=3.0))
    with pytest.raises(RemoteError, match="nothing came"):
        animated(provider, speech)
    wait_for_answer(service)
    error: Any = service.clips[0].delivery_error
    assert error.code() is grpc.StatusCode.NOT_FOUND
    service.habits = LegacyHabits()
    assert_right(animated(provider, speech), speech)
    provider.free()


def test_an_animation_may_come_before_its_session(service: LegacyService) -> None:
    receiver = receiver_module.Receiver("127.0.0.1:0")
    ids = AnimationIds(stream_id="s", request_id="r")
    parts = _parts(ids, 3)
    with grpc.insecure_channel(receiver.address) as channel:
        stub: Any = animation_data_service_pb2_grpc.AnimationDataServiceStub(channel)
        call = stub.PushAnimationDataStream.future(iter(parts))
        time.sleep(0.2)
        assert not call.done()
        inbox = Inbox()
        receiver.expect(ids, inbox)
        assert call.result(timeout=10).code == Status.SUCCESS
    assert len(inbox.take(1.0)) == len(parts)
    assert inbox.exhausted
    receiver.stop()


def test_garbage_at_the_receiver_is_refused() -> None:
    receiver = receiver_module.Receiver("127.0.0.1:0")
    with grpc.insecure_channel(receiver.address) as channel:
        stub: Any = animation_data_service_pb2_grpc.AnimationDataServiceStub(channel)
        for parts in ([], _parts(AnimationIds(stream_id="s"), 1)[1:]):
            with pytest.raises(grpc.RpcError) as caught:
                stub.PushAnimationDataStream(iter(parts))
            error: Any = caught.value
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    receiver.stop()


def test_cancel_lets_go_of_both_connections(service: LegacyService, speech: NDArray[np.float32]) -> None:
    provider = delivering(service)
    session = provider.open(StreamSettings())
    session.push(speech[:8000])
    assert session.take(10.0)
    session.cancel()
    session.cancel()
    assert_right(animated(provider, speech), speech)
    provider.free()
    assert provider.receiving == ""


def test_free_keeps_listening_until_the_last_session_is_over(
    service: LegacyService, speech: NDArray[np.float32]
) -> None:
    provider = delivering(service)
    session = provider.open(StreamSettings())
    provider.free()
    assert provider.receiving
    frames = [*session.push(speech), *session.finish()]
    assert_right(frames, speech)
    assert provider.receiving == ""


def test_a_port_in_use_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        route = LegacyRoute(listen=f"127.0.0.1:{taken.getsockname()[1]}")
        provider = LegacyA2F(Connection(url="http://127.0.0.1:1"), route)
        with pytest.raises(ProviderUnavailableError, match="is another program there"):
            provider.open(StreamSettings())


def test_a_controller_without_ids_is_an_error(service: LegacyService) -> None:
    service.habits = LegacyHabits(no_ids="no graph is loaded")
    provider = LegacyA2F(Connection(url=service.url), LegacyRoute(way="controller"), OPTIONS)
    with pytest.raises(RemoteError, match="no graph is loaded"):
        provider.open(StreamSettings())
    provider.free()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"way": "carrier pigeon"}, "deliver, pull or controller"),
        ({"way": "pull"}, "without pull_url"),
        ({"listen": "51000"}, "expected host:port"),
        ({"listen": "localhost:x"}, "expected host:port"),
    ],
)
def test_routes_are_checked(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        LegacyRoute(**fields)


def test_without_an_address_the_message_names_the_section(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.chdir(tmp_path)
    provider = legacy_a2f(load_settings(environment={}))
    with pytest.raises(ProviderUnavailableError, match=r"\[legacy\].*FACEWAVE_LEGACY_URL"):
        provider.open(StreamSettings())


def test_project_settings_choose_the_way(service: LegacyService, speech: NDArray[np.float32]) -> None:
    environment = {"FACEWAVE_LEGACY_URL": service.url, "FACEWAVE_LEGACY_WAY": "controller"}
    provider = legacy_a2f(load_settings(environment=environment))
    assert_right(animated(provider, speech), speech)
    provider.free()
    with pytest.raises(SettingsError, match="deliver, pull or controller"):
        legacy_a2f(load_settings(environment={"FACEWAVE_LEGACY_WAY": "x"}))


def test_an_animation_stream_gives_frames_and_their_audio(service: LegacyService) -> None:
    service.keep("avatar", _parts(AnimationIds(stream_id="avatar"), 20, Fraction(60)))
    with AnimationStream(Connection(url=service.url), stream_id="avatar", options=OPTIONS) as stream:
        pieces = list(stream)
        frames = [frame for piece in pieces for frame in piece.frames]
        assert [frame.index for frame in frames] == list(range(20))
        assert stream.info.frame_rate == 60
        assert [frame.weights[0] for frame in frames] == pytest.approx([index / 100 for index in range(20)])
        assert b"".join(piece.audio for piece in pieces) == b"".join(bytes([index, 1]) for index in range(20))
        assert {piece.sample_rate for piece in pieces} == {16_000}
        assert stream.done


def test_a_subscriber_may_come_before_the_animation(service: LegacyService) -> None:
    threading.Timer(0.4, service.keep, ("late", _parts(AnimationIds(stream_id="late"), 5))).start()
    connection = Connection(url=service.url)
    with AnimationStream(connection, stream_id="late", source="controller", options=OPTIONS) as stream:
        assert sum(len(piece.frames) for piece in stream) == 5


def test_a_stream_that_never_comes_is_an_error(service: LegacyService) -> None:
    options = RemoteOptions(connect_timeout_s=0.3, stall_timeout_s=20.0)
    with (
        AnimationStream(Connection(url=service.url), stream_id="never", options=options) as stream,
        pytest.raises(RemoteError, match="no such stream yet"),
    ):
        list(stream)


def test_a_silent_animation_stream_is_given_up(service: LegacyService) -> None:
    provider = LegacyA2F(Connection(url=service.url), LegacyRoute(way="controller"), OPTIONS)
    session = provider.open(StreamSettings())  # Its animation stays open without a frame.
    with (
        AnimationStream(Connection(url=service.url), stream_id="stream-1", options=HASTY) as stream,
        pytest.raises(RemoteError, match=r"silent for 0\.6 s"),
    ):
        list(stream)
    session.cancel()
    provider.free()


@pytest.mark.parametrize(("fields", "words"), [({"stream_id": ""}, "no stream id"), ({"source": "x"}, "source 'x'")])
def test_a_subscription_is_checked(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        AnimationStream(Connection(url="http://127.0.0.1:1"), **{"stream_id": "s", **fields})


def _parts(ids: AnimationIds, frames: int, rate: Fraction = Fraction(30)) -> list[Part]:
    parts = [animation.legacy_stream_header(ids, ARKIT, 16_000, 0.0)]
    for index in range(frames):
        row = np.full(len(ARKIT), index / 100, np.float32)
        data = animation.animation_data(float(index / rate), row, bytes([index, 1]))
        parts.append(animation_data_pb2.AnimationDataStream(animation_data=data))
    return [*parts, animation_data_pb2.AnimationDataStream(status=Status(code=Status.SUCCESS))]


def wait_for_answer(service: LegacyService) -> None:
    deadline = time.monotonic() + 20
    while not any(clip.answer or clip.delivery_error for clip in service.clips):
        assert time.monotonic() < deadline, "the delivery was never answered"
        time.sleep(0.01)
