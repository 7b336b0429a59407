"""`facewave serve` as its users run it: processes, signals, workers, HTTP, metrics, logs."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest
import yaml
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from typer.testing import CliRunner

from facewave.cli import app
from facewave.server.server import ServeOptions
from facewave.server.slots import SharedSlots
from facewave.wire._proto.controller_pb2 import AudioStream
from tests.servers.loudness import BatchLoudnessProvider, LoudnessProvider
from tests.servers.processes import Process, get, process
from tests.servers.serving import Answer, audio, call, chunks, clip, config, end, header, serving, speech, wait_until


def test_sigterm_lets_a_running_clip_end() -> None:
    with process() as (server, ports):
        release = threading.Event()
        answers: list[Answer] = []

        def requests() -> Iterator[AudioStream]:
            yield header()
            yield audio(speech(2.0))
            release.wait(60)
            yield end()

        thread = threading.Thread(target=lambda: answers.append(call(f"127.0.0.1:{ports['grpc']}", requests())))
        thread.start()
        wait_until(lambda: bool(server.lines("stream begins")), timeout=60)
        server.popen.send_signal(signal.SIGTERM)
        wait_until(lambda: bool(server.lines("stopping")), timeout=60)
        assert server.popen.poll() is None
        release.set()
        thread.join()
        assert server.popen.wait(60) == 0
        assert (answers[0].code, len(answers[0].frames)) == (grpc.StatusCode.OK, 60)
        (begun,), (ended,) = server.lines("stream begins"), server.lines("stream ended")
        assert begun["sid"] == ended["sid"] == "1"
        assert (ended["outcome"], ended["frames"]) == ("OK", 60)


def test_notice_before_the_drain_still_serves_new_calls() -> None:
    with process("--drain-delay", "20") as (server, ports):
        server.popen.send_signal(signal.SIGTERM)
        wait_until(lambda: bool(server.lines("not ready")), timeout=60)
        assert get(ports["http"], "/v1/health/ready")[0] == 503
        assert get(ports["http"], "/v1/health/live")[0] == 200
        target = f"127.0.0.1:{ports['grpc']}"
        with grpc.insecure_channel(target) as channel:
            status = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest()).status
            assert status == health_pb2.HealthCheckResponse.NOT_SERVING
        answer = call(target, clip(speech(0.5)))
        assert (answer.code, len(answer.frames)) == (grpc.StatusCode.OK, 15)
        assert not server.lines("stopping")
        # A second signal does not wait for the rest of it.
        server.popen.send_signal(signal.SIGTERM)
        assert server.popen.wait(60) == 0
        assert server.lines("second signal: stopping now")
        assert server.lines("stopped")


def test_second_signal_cuts_running_clips_off() -> None:
    with process("--drain", "120") as (server, ports):
        answers: list[Answer] = []
        release = threading.Event()

        def requests() -> Iterator[AudioStream]:
            yield header()
            yield audio(speech(1.0))
            release.wait(110)

        thread = threading.Thread(target=lambda: answers.append(call(f"127.0.0.1:{ports['grpc']}", requests())))
        thread.start()
        wait_until(lambda: bool(server.lines("stream begins")), timeout=60)
        server.popen.send_signal(signal.SIGTERM)
        wait_until(lambda: bool(server.lines("stopping")), timeout=60)
        assert server.popen.poll() is None
        server.popen.send_signal(signal.SIGTERM)
        assert server.popen.wait(60) == 0
        thread.join(60)
        release.set()
        assert answers[0].code is not grpc.StatusCode.OK


def test_second_signal_stops_workers_at_once() -> None:
    with process("--workers", "2", "--drain-delay", "60") as (server, _):
        server.popen.send_signal(signal.SIGTERM)
        wait_until(lambda: len(server.lines("not ready")) == 2, timeout=60)
        server.popen.send_signal(signal.SIGTERM)
        # Less than the notice alone.
        assert server.popen.wait(50) == 0


def test_old_connection_is_replaced_and_its_clip_goes_on() -> None:
    with process("--connection-age", "1") as (server, ports):
        channel = grpc.insecure_channel(f"127.0.0.1:{ports['grpc']}")

        def requests() -> Iterator[AudioStream]:
            yield header()
            for piece in chunks(speech(3.0), 3200):
                time.sleep(0.1)
                yield audio(piece)
            yield end()

        with channel:
            answer = call("", requests(), channel=channel)
            assert (answer.code, len(answer.frames)) == (grpc.StatusCode.OK, 90)
            later = call("", clip(speech(0.5)), channel=channel)
        assert later.code is grpc.StatusCode.OK
        first, second = (str(line["peer"]) for line in server.lines("stream begins"))
        assert first != second


def test_full_disk_for_logs_costs_no_clip() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with open("/dev/full", "w") as full:
        one = Process("--port", str(port), stderr=full.fileno())
        try:
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                grpc.channel_ready_future(channel).result(180)
                answer = call("", clip(speech(1.0)), channel=channel)
            assert (answer.code, len(answer.frames)) == (grpc.StatusCode.OK, 30)
            assert one.popen.poll() is None
        finally:
            one.popen.terminate()
            assert one.popen.wait(60) == 0


def test_workers_share_the_port_count_places_together_and_are_replaced() -> None:
    with process("--workers", "2", "--streams", "3", "--metrics") as (server, ports):
        target = f"127.0.0.1:{ports['grpc']}"
        assert get(ports["http"], "/v1/health/ready")[0] == 200
        metadata = json.loads(get(ports["http"], "/v1/metadata")[1])
        assert (metadata["workers"], metadata["streams"]) == (2, 3)

        release = threading.Event()
        answers: list[Answer] = []
        pieces = list(chunks(speech(1.0), 3200))

        def requests() -> Iterator[AudioStream]:
            yield header()
            yield from map(audio, pieces)
            release.wait(120)
            yield end()

        # Connections of their own, so that they may fall to different workers.
        options = [("grpc.use_local_subchannel_pool", 1)]
        channels = [grpc.insecure_channel(target, options=options) for _ in range(3)]
        threads = [
            threading.Thread(target=lambda channel=channel: answers.append(call("", requests(), channel=channel)))
            for channel in channels
        ]
        for thread in threads:
            thread.start()
        wait_until(lambda: len(server.lines("stream begins")) == 3, timeout=60)
        # All places are taken, whichever worker is asked.
        late = [grpc.insecure_channel(target, options=options) for _ in range(4)]
        for channel in late:
            assert call("", clip(speech(0.3)), channel=channel).code is grpc.StatusCode.RESOURCE_EXHAUSTED
            channel.close()
        metrics = get(ports["metrics"], "/metrics")[1].decode()
        assert re.search(r"^streams_in_use 3\.0$", metrics, re.MULTILINE)
        assert re.search(r"^streams_available 0\.0$", metrics, re.MULTILINE)
        assert re.search(r'^facewave_streams_total\{outcome="RESOURCE_EXHAUSTED"\} 4\.0$', metrics, re.MULTILINE)

        # One worker dies: its streams fail, the others' do not, its places are free, and it comes again.
        sids = [str(line["sid"]) for line in server.lines("stream begins")]
        victim = max(("1", "2"), key=lambda worker: sum(sid.startswith(f"{worker}.") for sid in sids))
        lost = sum(sid.startswith(f"{victim}.") for sid in sids)
        pids = {str(line["worker"]): int(str(line["pid"])) for line in server.lines("worker started")}
        os.kill(pids[victim], signal.SIGKILL)
        wait_until(lambda: bool(server.lines("worker died")), timeout=60)
        wait_until(lambda: len(answers) == lost, timeout=60)
        assert {answer.code for answer in answers} == {grpc.StatusCode.UNAVAILABLE}
        wait_until(lambda: len(server.lines("worker started")) == 3, timeout=60)
        release.set()
        for thread in threads:
            thread.join()
        assert sorted(str(answer.code) for answer in answers[lost:]) == ["StatusCode.OK"] * (3 - lost)
        for channel in channels:
            channel.close()
        wait_until(
            lambda: b"streams_in_use 0.0" in get(ports["metrics"], "/metrics")[1],
            timeout=60,
        )
        assert call(target, clip(speech(0.5))).code is grpc.StatusCode.OK


def test_workers_end_with_their_parent() -> None:
    with process("--workers", "2") as (server, _):
        pids = [int(str(line["pid"])) for line in server.lines("worker started")]
        server.popen.kill()
        server.popen.wait()
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), timeout=60)


def test_print_config_starts_nothing(tmp_path: Path) -> None:
    stylization = tmp_path / "s.yaml"
    stylization.write_text("a2f: {face_params: {lower_face_strength: 1.25}}")
    keys = tmp_path / "keys"
    keys.write_text("very-secret\n")
    keys.chmod(0o600)
    result = CliRunner().invoke(
        app,
        ["serve", "--print-config", "--stylization-config", str(stylization), "--streams", "7", "--host", "0.0.0.0",
         "--tongue", "--keys", str(keys)],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "very-secret" not in result.output
    found: dict[str, object] = {}
    for content in yaml.safe_load_all(result.output.replace("# ---", "---\n#")):
        found |= content or {}
    assert found["common"]["stream_number"] == 7  # type: ignore[index]
    assert found["endpoints"]["bidirectional"]["server"]["url"] == "0.0.0.0:52000"  # type: ignore[index]
    assert found["enable_tongue_blendshapes"] is True
    assert found["a2f"]  # Of the last file that has the section.


# What is served beside the clips, in one process.


def test_http_health_follows_the_server() -> None:
    options = ServeOptions(http_address="127.0.0.1:0")
    with serving(LoudnessProvider(), None, options) as server:
        port = server.server.ports["http"]
        assert get(port, "/v1/health/live")[0] == 200
        assert get(port, "/v1/health/ready") == (200, b'{"status": "ready"}')
        metadata = json.loads(get(port, "/v1/metadata")[1])
        assert metadata["provider"] == "loudness"
        assert (metadata["blend_shapes"], metadata["frame_rate"], metadata["streams"]) == (52, 30.0, 10)
        assert get(port, "/nowhere")[0] == 404
        server.read(lambda: setattr(server.server, "_ready", False))
        assert get(port, "/v1/health/ready")[0] == 503


def test_grpc_health_and_reflection() -> None:
    with serving(LoudnessProvider()) as server, grpc.insecure_channel(server.target) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        name = "nvidia_ace.services.a2f_controller.v1.A2FControllerService"
        for service in ("", name):
            answer = stub.Check(health_pb2.HealthCheckRequest(service=service))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        watch.cancel()
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(health_pb2.HealthCheckRequest(service="other"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        database = ProtoReflectionDescriptorDatabase(channel)
        assert name in database.get_services()
        pool = DescriptorPool(database)
        method = pool.FindServiceByName(name).FindMethodByName("ProcessAudioStream")
        assert "audio_with_emotion" in GetMessageClass(method.input_type).DESCRIPTOR.fields_by_name


def test_metrics_of_one_process() -> None:
    with serving(BatchLoudnessProvider(), config({}, {"telemetry.metrics_enabled": True})) as server:
        call(server.target, clip(speech(1.0)))
        call(server.target, [header(8000)])
        wait_until(lambda: server.streams_in_use == 0)
        text = get(server.server.ports["metrics"], "/metrics")[1].decode()
    values = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(values["streams_in_use"]) == 0
    assert float(values["streams_available"]) == 10
    assert float(values['facewave_streams_total{outcome="OK"}']) == 1
    assert float(values['facewave_streams_total{outcome="INVALID_ARGUMENT"}']) == 1
    assert float(values["facewave_frames_total"]) == 30
    assert float(values["facewave_first_frame_seconds_count"]) == 1
    assert float(values["facewave_batch_streams_count"]) >= 1


def test_shared_places(tmp_path: Path) -> None:
    parent = SharedSlots(tmp_path / "slots", total=3, workers=2)
    one, two = (SharedSlots(tmp_path / "slots", 3, 2, index) for index in range(2))
    assert [one.take(), one.take(), two.take(), two.take(), one.take()] == [True, True, True, False, False]
    assert (parent.used, one.used, two.used) == (3, 3, 3)
    one.give_back()
    assert two.take()
    parent.clear(1)
    assert parent.used == 1
