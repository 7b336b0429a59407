"""Three `facewave serve` processes behind a HAProxy that runs the configuration the project ships."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import pytest

from facewave.wire._proto import a2f_controller_service_pb2_grpc as controller_grpc
from facewave.wire._proto.controller_pb2 import AudioStream
from tests.servers.certificates import Certificates
from tests.servers.processes import ROOT, Process
from tests.servers.serving import Answer, audio, chunks, end, header, speech, wait_until

STREAMS = ROOT / "deploy" / "haproxy" / "haproxy.cfg"
CONNECTIONS = ROOT / "deploy" / "haproxy" / "connections.cfg"

NOTICE_S = 3
"""`--drain-delay` of the servers; HAProxy needs 1.5 s to see that one is not ready."""

_CHUNK_S = 0.1


class Member:
    """One server, which keeps its ports when it is started again."""

    def __init__(self, name: str, arguments: Sequence[str]) -> None:
        self.name = name
        self.port, self.http = free_port(), free_port()
        self._arguments = (
            *("--port", str(self.port), "--http", f"127.0.0.1:{self.http}"),
            *("--drain-delay", str(NOTICE_S), *arguments),
        )
        self.processes: list[Process] = []

    @property
    def process(self) -> Process:
        return self.processes[-1]

    @property
    def begun(self) -> int:
        """Streams it has been given so far."""
        return sum(len(process.lines("stream begins")) for process in self.processes)

    def start(self) -> None:
        """Start it, again or for the first time; `wait_up` of the cluster says when it serves."""
        self.processes.append(Process(*self._arguments))

    def stop(self) -> int:
        """SIGTERM, and the exit code when it is through."""
        self.process.popen.send_signal(signal.SIGTERM)
        return self.process.popen.wait(60)

    def kill(self) -> None:
        self.process.popen.kill()
        self.process.popen.wait(60)

    def close(self) -> None:
        for process in self.processes:
            process.popen.kill()
            process.close()


class Cluster:
    """The servers and HAProxy before them."""

    def __init__(self, configuration: Path, members: list[Member], environment: Mapping[str, str]) -> None:
        self.members = members
        self._configuration = configuration
        self.port, self._stats = free_port(), free_port()
        self.environment = {
            **os.environ,
            "FACEWAVE_BIND": f"127.0.0.1:{self.port}",
            "FACEWAVE_STATS": f"127.0.0.1:{self._stats}",
            **environment,
        }
        for number, member in enumerate(members, 1):
            self.environment[f"FACEWAVE_SERVER_{number}"] = f"127.0.0.1:{member.port}"
            self.environment[f"FACEWAVE_HTTP_{number}"] = str(member.http)
        self.log: list[str] = []
        self._haproxy: subprocess.Popen[str] | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self._haproxy = subprocess.Popen(
            [haproxy(), "-f", str(self._configuration)],
            env=self.environment,
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        self._reader.start()
        self.wait_up()

    def _read(self) -> None:
        assert self._haproxy is not None
        assert self._haproxy.stderr is not None
        self.log.extend(self._haproxy.stderr)

    def close(self) -> None:
        if self._haproxy is not None:
            self._haproxy.kill()
            self._haproxy.wait(10)
            self._reader.join(10)
            assert self._haproxy.stderr is not None
            self._haproxy.stderr.close()
        for member in self.members:
            member.close()

    def status(self) -> dict[str, str]:
        """What HAProxy thinks of each server: UP, DOWN, or on the way."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._stats}/;csv", timeout=10) as answer:
            rows = csv.DictReader(answer.read().decode().removeprefix("# ").splitlines())
        return {row["svname"]: row["status"] for row in rows if row["pxname"] == "facewave" and row["type"] == "2"}

    @property
    def begun(self) -> list[int]:
        """Streams each server has been given so far."""
        return [member.begun for member in self.members]

    def wait_up(self) -> None:
        """Until HAProxy finds every server ready."""

        def all_up() -> bool:
            assert self._haproxy is not None
            assert self._haproxy.poll() is None, "".join(self.log)
            try:
                return set(self.status().values()) == {"UP"}
            except OSError:
                return False

        wait_until(all_up, timeout=60)


@contextmanager
def cluster(configuration: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Cluster]:
    """A running cluster of three; skips where HAProxy is absent."""
    haproxy()
    members = [Member(f"facewave-{number}", arguments) for number in (1, 2, 3)]
    running = Cluster(configuration, members, environment or {})
    try:
        for member in members:
            member.start()
        for member in members:
            member.process.wait_ready()
        running.start()
        yield running
    finally:
        running.close()


def haproxy() -> str:
    """Path of the program; skips where it is absent."""
    found = shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")
    if found is None:
        pytest.skip("haproxy is not installed; on Debian: apt-get install haproxy")
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def own_connection(target: str, certificates: Certificates | None = None, *, own: bool = True) -> grpc.Channel:
    """A channel that shares its connection with no other; with certificates over TLS, `own` showing the client's."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    if certificates is None:
        return grpc.insecure_channel(target, options=options)
    credentials = grpc.ssl_channel_credentials(
        certificates.ca.read_bytes(),
        certificates.client_key.read_bytes() if own else None,
        certificates.client.read_bytes() if own else None,
    )
    return grpc.secure_channel(target, credentials, options=options)


@dataclass
class Stream:
    """One clip sent in real time, in a thread of its own."""

    channel: grpc.Channel
    seconds: float = 3.0
    quiet_s: float = 0.0
    """Silence between the header and the first audio."""

    hold: threading.Event | None = None
    """What is waited for before the audio ends; None ends it at once."""

    server: str = ""
    answer: Answer = field(default_factory=Answer)

    def start(self) -> Stream:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def join(self) -> Stream:
        self._thread.join(120)
        assert not self._thread.is_alive(), "a stream did not end"
        return self

    @property
    def complete(self) -> bool:
        """Whether every frame came, and all of them with success."""
        whole = len(self.answer.frames) == round(self.seconds * 30)
        return self.answer.code is grpc.StatusCode.OK and whole

    def _requests(self) -> Iterator[AudioStream]:
        yield header()
        time.sleep(self.quiet_s)
        began = time.monotonic()
        for number, piece in enumerate(chunks(speech(self.seconds), round(2 * 16_000 * _CHUNK_S))):
            time.sleep(max(0.0, began + number * _CHUNK_S - time.monotonic()))
            yield audio(piece)
        if self.hold is not None:
            self.hold.wait(60)
        yield end()

    def _run(self) -> None:
        stub = controller_grpc.A2FControllerServiceStub(self.channel)
        responses = stub.ProcessAudioStream(self._requests(), timeout=110)
        try:
            for message in responses:
                self.answer.take(message)
                self.server = self.server or dict(responses.initial_metadata()).get("x-served-by", "")
            self.answer.code = responses.code()
        except grpc.RpcError as error:
            self.answer.code, self.answer.details = error.code(), error.details() or ""


def certificate_environment(certificates: Certificates, folder: Path) -> dict[str, str]:
    """What HAProxy needs to speak TLS on both sides; it wants certificate and key in one file."""
    both = {}
    for name, certificate, key in (
        ("front", certificates.server, certificates.server_key),
        ("back", certificates.client, certificates.client_key),
    ):
        both[name] = folder / f"{name}.pem"
        both[name].write_bytes(certificate.read_bytes() + key.read_bytes())
    return {
        "FACEWAVE_TLS": "1",
        "FACEWAVE_TLS_CERT": str(both["front"]),
        "FACEWAVE_TLS_CLIENT_CA": str(certificates.ca),
        "FACEWAVE_TLS_SERVER_CERT": str(both["back"]),
        "FACEWAVE_TLS_SERVER_CA": str(certificates.ca),
        "FACEWAVE_TLS_SERVER_NAME": "localhost",
    }
