"""Three servers behind HAProxy with the configurations of `deploy/haproxy/`: spread, faults, restarts, certificates.

What happened is a table in docs/howto/deploy.md. `RECORD_DEPLOYMENT=1 pytest tests/servers/test_haproxy.py` writes it.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import grpc
import pytest

from facewave.providers.remote.connection import Connection
from facewave.providers.remote.failures import described
from facewave.wire._proto import a2f_controller_service_pb2_grpc as controller_grpc
from facewave.wire._proto.controller_pb2 import AudioStream
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.cluster import (
    CONNECTIONS,
    STREAMS,
    Cluster,
    Stream,
    certificate_environment,
    cluster,
    own_connection,
)
from tests.servers.processes import ROOT
from tests.servers.serving import audio, call, clip, header, speech, wait_until

PAGE = ROOT / "docs" / "howto" / "deploy.md"
_TABLE = re.compile(r"(?<=<!-- what happened -->\n).*?(?=<!-- end -->)", re.DOTALL)

ROWS = {
    "spread": "12 streams at once over one connection",
    "quiet": "12 s of silence between header and audio",
    "unread": "6 clips beside 3 clients that send 20 s and read nothing",
    "cancelled": "a client cancels in mid-clip",
    "full": "all 30 places taken, 2 calls more, one place comes free",
    "killed": "one server killed under 12 streams, 10 more begin meanwhile",
    "rolling": "every server restarted with SIGTERM under 9 clients without a pause",
    "mtls": "TLS with certificates on both sides of HAProxy",
    "connections spread": "by connection: 12 streams over 12 connections",
    "connections one": "by connection: 12 streams over one connection",
    "connections refused": "by connection: a clip at 8 kHz",
    "connections killed": "by connection: one server killed under 12 streams",
    "connections rolling": "by connection: every server restarted under 9 clients",
    "connections mtls": "by connection: TLS passed through",
}
"""What was done; what happened is found out."""

happened: dict[str, str] = {}


@pytest.fixture(scope="module", autouse=True)
def _record() -> Iterator[None]:
    yield
    lines = ["| What was done | What happened |", "| --- | --- |"]
    lines += [f"| {what} | {happened[name]} |" for name, what in ROWS.items() if name in happened]
    table = "\n".join(lines) + "\n"
    print(f"\n{table}")
    if os.environ.get("RECORD_DEPLOYMENT") and happened.keys() == ROWS.keys():
        PAGE.write_text(_TABLE.sub(lambda _: table, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


@pytest.fixture(scope="module")
def by_stream() -> Iterator[Cluster]:
    with cluster(STREAMS) as running:
        yield running


@pytest.fixture(scope="module")
def by_connection() -> Iterator[Cluster]:
    # Every connection ends within the notice, and the clients' next ones go elsewhere.
    with cluster(CONNECTIONS, "--connection-age", "2", "--drain-delay", "5") as running:
        yield running


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def test_page_has_the_rows_of_this_file() -> None:
    found = _TABLE.search(PAGE.read_text(encoding="utf-8"))
    assert found is not None
    assert re.findall(r"^\| ([^|]+) \|", found[0], re.MULTILINE)[2:] == list(ROWS.values())


def test_streams_of_one_connection_are_spread_evenly(by_stream: Cluster) -> None:
    with own_connection(by_stream.target) as channel:
        given = _given(by_stream, [channel] * 12)
    assert given == [4, 4, 4]
    happened["spread"] = f"{_listed(given)} streams a server"


def test_long_silence_does_not_end_a_stream(by_stream: Cluster) -> None:
    with own_connection(by_stream.target) as channel:
        # Longer than the time HAProxy gives a request's headers.
        stream = Stream(channel, 1.0, quiet_s=12.0).start().join()
    assert stream.complete, stream.answer.details
    happened["quiet"] = "complete"


def test_clients_that_do_not_read_hold_up_nobody(by_stream: Cluster) -> None:
    def requests() -> Iterator[AudioStream]:
        yield from clip(speech(20.0))

    with own_connection(by_stream.target) as one:
        stub = controller_grpc.A2FControllerServiceStub(one)
        unread = [stub.ProcessAudioStream(requests(), timeout=60) for _ in range(3)]
        channels = [own_connection(by_stream.target) for _ in range(6)]
        streams = _joined([Stream(channel, 1.0).start() for channel in channels])
        for reading in unread:
            reading.cancel()
        _close(channels)
    assert all(stream.complete for stream in streams), [stream.answer.details for stream in streams]
    happened["unread"] = f"{len(streams)} of {len(streams)} complete"


def test_cancelled_stream_frees_its_place(by_stream: Cluster) -> None:
    def requests() -> Iterator[AudioStream]:
        yield header()
        yield audio(speech(1.0))
        stopped.wait(60)

    stopped = threading.Event()
    wait_until(lambda: _places_taken(by_stream) == 0, timeout=30)
    with own_connection(by_stream.target) as channel:
        responses = controller_grpc.A2FControllerServiceStub(channel).ProcessAudioStream(requests(), timeout=60)
        next(responses)
        wait_until(lambda: _places_taken(by_stream) == 1, timeout=30)
        began = time.monotonic()
        responses.cancel()
        wait_until(lambda: _places_taken(by_stream) == 0, timeout=30)
        stopped.set()
    happened["cancelled"] = f"its place is free {1000 * (time.monotonic() - began):.0f} ms later"


def test_calls_wait_in_line_while_all_places_are_taken(by_stream: Cluster) -> None:
    one_ends, all_end = threading.Event(), threading.Event()
    with own_connection(by_stream.target) as channel:
        holding = [Stream(channel, 0.5, hold=one_ends if number == 0 else all_end).start() for number in range(30)]
        wait_until(lambda: _places_taken(by_stream) == 30, timeout=60)
        late = [Stream(channel, 0.5).start() for _ in range(2)]
        one_ends.set()
        served = [stream.complete for stream in _joined(late)]
        refused = [str(stream.answer.code).removeprefix("StatusCode.") for stream in late if not stream.complete]
        all_end.set()
        assert all(stream.complete for stream in _joined(holding))
    # Both may get the place that came free, one after the other.
    assert any(served)
    assert set(refused) <= {"UNAVAILABLE"}
    happened["full"] = f"{sum(served)} of 2 served once it was free" + "".join(f", {code}" for code in refused)


def test_killed_server_loses_its_own_streams_only(by_stream: Cluster) -> None:
    running, later, victim = _kill_under_load(by_stream, connections=3)
    lost = [stream for stream in running if not stream.complete]
    assert lost == [stream for stream in running if stream.server == victim]
    assert len(lost) == 4
    codes = _codes(lost)
    # HAProxy has sent the answer's beginning already: it ends the stream without a status and resets it, and which of
    # the two gRPC sees first makes the code. Our own client knows both.
    assert set(codes) <= {"CANCELLED", "UNKNOWN"}
    for stream in lost:
        assert stream.answer.code is not None
        error = described(stream.answer.code.name, stream.answer.details, Connection(url="proxy:1"), doing="animating")
        assert error.retryable, stream.answer.details
        assert "a proxy on the way" in str(error)
    assert all(stream.complete for stream in later), [stream.answer.details for stream in later]
    assert victim not in {stream.server for stream in later}
    happened["killed"] = (
        f"its {len(lost)} streams end with CANCELLED or UNKNOWN (here {_counted(codes)}), "
        f"the other {len(running) - len(lost)} and all {len(later)} new ones complete"
    )


def test_rolling_restart_loses_no_stream(by_stream: Cluster) -> None:
    happened["rolling"] = _rolled(by_stream, connections=3)


def test_certificates_on_both_sides(certificates: Certificates, tmp_path: Path) -> None:
    environment = certificate_environment(certificates, tmp_path)
    with cluster(STREAMS, *_tls_options(certificates), environment=environment) as running:
        happened["mtls"] = _guarded(running, certificates)


def test_connections_are_spread_evenly(by_connection: Cluster) -> None:
    channels = [own_connection(by_connection.target) for _ in range(12)]
    given = _given(by_connection, channels)
    _close(channels)
    assert given == [4, 4, 4]
    happened["connections spread"] = f"{_listed(given)} streams a server"


def test_one_connection_is_not_spread(by_connection: Cluster) -> None:
    with own_connection(by_connection.target) as channel:
        given = _given(by_connection, [channel] * 9)
        # One server has ten places; nine are what it can surely take.
    assert sorted(given) == [0, 0, 9]
    happened["connections one"] = "all on one server"


def test_refusals_pass_unchanged_by_connection(by_connection: Cluster) -> None:
    answer = call(by_connection.target, [header(8000)])
    assert answer.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "8000 Hz" in answer.details
    happened["connections refused"] = "INVALID_ARGUMENT, with the server's words"


def test_killed_server_by_connection(by_connection: Cluster) -> None:
    running, later, _ = _kill_under_load(by_connection, connections=12)
    lost = [stream for stream in running if not stream.complete]
    assert len(lost) == 4
    assert set(_codes(lost)) == {"UNAVAILABLE"}
    assert all(stream.complete for stream in later), [stream.answer.details for stream in later]
    happened["connections killed"] = (
        f"its {len(lost)} streams end with UNAVAILABLE, the other {len(running) - len(lost)} and all "
        f"{len(later)} new ones complete"
    )


def test_rolling_restart_by_connection(by_connection: Cluster) -> None:
    happened["connections rolling"] = _rolled(by_connection, connections=9)


def test_certificates_pass_through(certificates: Certificates) -> None:
    with cluster(CONNECTIONS, *_tls_options(certificates)) as running:
        happened["connections mtls"] = _guarded(running, certificates)


def _given(running: Cluster, channels: Sequence[grpc.Channel]) -> list[int]:
    """Streams that each server got of one on each channel, all of them running at once."""
    release = threading.Event()
    before = running.begun
    streams = [Stream(channel, 0.5, hold=release).start() for channel in channels]
    wait_until(lambda: sum(running.begun) == sum(before) + len(streams), timeout=60)
    release.set()
    assert all(stream.complete for stream in _joined(streams)), [stream.answer.details for stream in streams]
    return [now - then for now, then in zip(running.begun, before, strict=True)]


def _kill_under_load(running: Cluster, *, connections: int) -> tuple[list[Stream], list[Stream], str]:
    """Kill one of the servers in the middle of 12 clips; those, 10 that began after it, and the server's name."""
    channels = [own_connection(running.target) for _ in range(connections)]
    before = running.begun
    streams = [Stream(channels[number % connections], 4.0).start() for number in range(12)]
    wait_until(lambda: sum(running.begun) == sum(before) + 12, timeout=60)
    wait_until(lambda: all(stream.answer.frames for stream in streams), timeout=60)
    victim = running.members[0]
    victim.kill()
    later = []
    for number in range(10):
        later.append(Stream(channels[number % connections], 1.0).start())
        time.sleep(0.1)
    _joined([*streams, *later])
    _close(channels)
    victim.start()
    running.wait_up()
    return streams, later, victim.name


def _rolled(running: Cluster, *, connections: int) -> str:
    """Restart the servers one after the other while clients call without a pause; none may notice."""
    channels = [own_connection(running.target) for _ in range(connections)]
    done = threading.Event()
    streams: list[Stream] = []

    def client(channel: grpc.Channel) -> None:
        while not done.is_set():
            streams.append(Stream(channel, 1.5).start().join())

    before = len([process for member in running.members for process in member.processes])
    clients = [threading.Thread(target=client, args=(channels[number % connections],)) for number in range(9)]
    for thread in clients:
        thread.start()
    try:
        for member in running.members:
            assert member.stop() == 0
            member.start()
            running.wait_up()
    finally:
        done.set()
        for thread in clients:
            thread.join()
        _close(channels)
    assert len([process for member in running.members for process in member.processes]) == before + 3
    broken = Counter(f"{stream.answer.code} {stream.answer.details}" for stream in streams if not stream.complete)
    assert not broken
    return f"{len(streams)} of {len(streams)} clips complete, no error"


def _guarded(running: Cluster, certificates: Certificates) -> str:
    """A client with a certificate is served, others are not, neither by HAProxy nor past it."""
    with own_connection(running.target, certificates) as channel:
        streams = _joined([Stream(channel, 1.0).start() for _ in range(3)])
    assert all(stream.complete for stream in streams), [stream.answer.details for stream in streams]
    direct = f"127.0.0.1:{running.members[0].port}"
    for target in (running.target, direct):
        with own_connection(target, certificates, own=False) as channel:
            answer = call("", clip(speech(0.2)), channel=channel, timeout=5)
        assert answer.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
        assert call(target, clip(speech(0.2)), timeout=5).code is not grpc.StatusCode.OK
    return "served with a client's certificate; without one refused, by HAProxy's address and past it"


def _tls_options(certificates: Certificates) -> list[str]:
    return [
        *("--tls-cert", str(certificates.server), "--tls-key", str(certificates.server_key)),
        *("--tls-ca", str(certificates.ca)),
    ]


def _places_taken(running: Cluster) -> int:
    processes = [process for member in running.members for process in member.processes]
    return sum(len(one.lines("stream begins")) - len(one.lines("stream ended")) for one in processes)


def _joined(streams: list[Stream]) -> list[Stream]:
    return [stream.join() for stream in streams]


def _close(channels: Sequence[grpc.Channel]) -> None:
    for channel in channels:
        channel.close()


def _codes(streams: Sequence[Stream]) -> Counter[str]:
    return Counter(str(stream.answer.code).removeprefix("StatusCode.") for stream in streams)


def _counted(codes: Counter[str]) -> str:
    return ", ".join(f"{count} {code}" for code, count in sorted(codes.items()))


def _listed(counts: Sequence[int]) -> str:
    return ", ".join(map(str, counts))
