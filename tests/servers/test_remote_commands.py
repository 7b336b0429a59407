"""`facewave call` and `facewave health` as a user runs them, against real servers."""

from __future__ import annotations

import csv
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from facewave import Animation
from facewave.blendshapes import ARKIT, CHANNELS
from facewave.cli import app
from facewave.errors import FacewaveError, RemoteError, SettingsError
from tests.servers.awkward import NAMES_68, AwkwardServer, Habits, expected_weights
from tests.servers.awkward_legacy import LegacyService
from tests.servers.loudness import LoudnessProvider
from tests.servers.serving import config, serving

RUN = CliRunner()


@pytest.fixture
def server() -> Iterator[AwkwardServer]:
    with AwkwardServer() as running:
        yield running


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    soundfile.write(path, np.random.default_rng(2).integers(-6000, 6000, 16_000).astype(np.int16), 16_000)
    return path


def run(*arguments: str | Path, exit_code: int = 0) -> str:
    result = RUN.invoke(app, [str(argument) for argument in arguments])
    if isinstance(result.exception, FacewaveError):
        raise result.exception
    assert result.exit_code == exit_code, result.output
    return result.output


def test_call_writes_what_the_service_animates(server: AwkwardServer, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    said = run("call", server.url, clip, "-o", out, "--emotions", tmp_path / "emotions.csv", "--emotion", "joy=1")
    assert "30 frames at 30 fps, 52 channels, 1.0 s of speech" in said
    animation = Animation.load(out)
    assert animation.channels == ARKIT
    samples, _ = soundfile.read(clip, dtype="float32")
    want = [expected_weights(samples, index, Fraction(30))["jawOpen"] for index in range(30)]
    np.testing.assert_allclose(animation.channel("jawOpen"), want, atol=1e-5)
    with (tmp_path / "emotions.csv").open(newline="") as file:
        assert [float(row["emotion_values.joy"]) for row in csv.DictReader(file)] == [1.0] * 30


def test_call_keeps_the_tongue_and_reports_what_the_service_said(
    server: AwkwardServer, clip: Path, tmp_path: Path
) -> None:
    server.habits = Habits(names=("HeadRoll", *NAMES_68), rate=Fraction(60), infos=True)
    said = run("call", server.url, clip, "-o", tmp_path / "out.npz", "--fps", "30")
    animation = Animation.load(tmp_path / "out.npz")
    assert animation.channels == CHANNELS
    assert len(animation) == 30
    assert animation.frame_rate == 30
    assert "note: shapes without a channel are left out: HeadRoll" in said
    assert "note: WARNING from the service: nearly there" in said


def test_call_sends_a_clip_again_only_when_told_to(server: AwkwardServer, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    server.habits = Habits(fail_after=20, failure=(grpc.StatusCode.UNAVAILABLE, "moving house"))
    with pytest.raises(RemoteError, match="moving house"):
        run("call", server.url, clip, "-o", out)
    assert not out.exists()
    with pytest.raises(RemoteError, match="moving house"):
        run("call", server.url, clip, "-o", out, "--attempts", "3")
    assert len(server.clips) == 4
    assert not list(tmp_path.glob("*.part"))


def test_call_takes_the_key_from_the_environment_alone(
    server: AwkwardServer, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.csv"
    with pytest.raises(SettingsError, match="A2F_KEY is not set"):
        run("call", server.url, clip, "-o", out, "--api-key-env", "A2F_KEY")
    monkeypatch.setenv("A2F_KEY", "nvapi-123")
    said = run("call", server.url, clip, "-o", out, "--api-key-env", "A2F_KEY", "--function-id", "f-1")
    assert server.clips[0].metadata["authorization"] == "Bearer nvapi-123"
    assert server.clips[0].metadata["function-id"] == "f-1"
    assert "nvapi" not in said


def test_configured_credentials_go_to_the_configured_address_only(
    server: AwkwardServer, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACEWAVE_REMOTE_URL", server.url)
    monkeypatch.setenv("FACEWAVE_REMOTE_API_KEY", "nvapi-9")
    run("call", f"127.0.0.1:{server.port}", clip, "-o", tmp_path / "out.csv")
    run("call", f"localhost:{server.port}", clip, "-o", tmp_path / "out.csv")
    assert server.clips[0].metadata["authorization"] == "Bearer nvapi-9"
    assert "authorization" not in server.clips[1].metadata


def test_call_speaks_the_one_way_protocol(clip: Path, tmp_path: Path) -> None:
    with LegacyService() as service:
        run("call", service.url, clip, "-o", tmp_path / "a.csv", "--legacy", "controller")
        run("call", service.url, clip, "-o", tmp_path / "b.csv", "--legacy", "pull", "--pull-url", service.url)
        assert len(Animation.load(tmp_path / "a.csv")) == 30
        assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
        with pytest.raises(SettingsError, match="expected deliver, pull or controller"):
            run("call", service.url, clip, "-o", tmp_path / "c.csv", "--legacy", "pigeon")


def test_call_receives_what_an_old_service_delivers(clip: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    with LegacyService() as service:
        service.deliver_to = listen
        run("call", service.url, clip, "-o", tmp_path / "out.csv", "--legacy", "deliver", "--listen", listen)
    assert len(Animation.load(tmp_path / "out.csv")) == 30


def test_call_interrupted_leaves_nothing_behind(server: AwkwardServer, clip: Path, tmp_path: Path) -> None:
    server.habits = Habits(stall_after=5)
    process = subprocess.Popen(
        [sys.executable, "-m", "facewave", "call", server.url, str(clip), "-o", str(tmp_path / "out.csv")],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )
    deadline = time.monotonic() + 60
    while not (server.clips and server.clips[0].ended is False and len(server.clips[0].pcm) >= 32_000):
        assert time.monotonic() < deadline, "the clip never arrived"
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    assert server.clips[0].over.wait(10)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["speech.wav"]


def test_health_of_our_own_server_and_its_configuration(tmp_path: Path) -> None:
    with serving(LoudnessProvider(), config()) as running:
        said = run("health", running.target, "--configs", tmp_path / "configs")
        assert f"{running.target}: ONLINE, SERVING" in said
    names = {"advanced_config.yaml", "deployment_config.yaml", "stylization_config.yaml"}
    assert {path.name for path in (tmp_path / "configs").iterdir()} == names


def test_every_state_of_health_is_told() -> None:
    health_pb2, servicer, add = _health_package()
    pool = ThreadPoolExecutor(2)
    server = grpc.server(pool)
    state = servicer()
    add(state, server)
    url = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    for name, exit_code in (("SERVING", 0), ("NOT_SERVING", 1), ("UNKNOWN", 1), ("SERVICE_UNKNOWN", 1)):
        state.set("", health_pb2.HealthCheckResponse.ServingStatus.Value(name))
        said = run("health", url, exit_code=exit_code)
        assert f"{'OFFLINE' if exit_code else 'ONLINE'}, {name}," in said
    server.stop(0).wait()
    pool.shutdown()


def _health_package() -> Any:
    from grpc_health.v1 import health, health_pb2, health_pb2_grpc

    return health_pb2, health.HealthServicer, health_pb2_grpc.add_HealthServicer_to_server


def test_a_client_needs_no_package_of_the_server_extra(server: AwkwardServer, clip: Path, tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "for name in ('grpc_health', 'grpc_reflection', 'prometheus_client'):\n"
        "    sys.modules[name] = None\n"
        "from facewave.cli import main\n"
        "main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    for words in (["health", server.url], ["call", server.url, str(clip), "-o", str(tmp_path / "out.csv")]):
        done = subprocess.run(
            [sys.executable, "-c", program, *words], capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 0, done.stderr


def test_health_without_a_health_check_is_still_an_answer(server: AwkwardServer) -> None:
    assert "ONLINE, UNIMPLEMENTED (it has no health check)" in run("health", server.url)


def test_health_of_nothing_is_an_error() -> None:
    with pytest.raises(RemoteError, match="nothing listens at this address"):
        run("health", "http://127.0.0.1:9")


def test_what_call_writes_is_what_the_sample_client_writes(server: AwkwardServer, clip: Path, tmp_path: Path) -> None:
    run("call", server.url, clip, "-o", tmp_path / "out.json")
    document = json.loads((tmp_path / "out.json").read_text())
    assert document["exportFps"] == 30
    assert document["facsNames"] == list(ARKIT)
    assert document["numFrames"] == 30
