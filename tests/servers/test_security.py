"""TLS, mutual TLS, bearer keys, and where the server listens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from facewave.errors import SettingsError
from facewave.server.config import load_config
from facewave.server.security import read_keys
from facewave.server.server import ServeOptions
from facewave.wire._proto import a2x_export_config_service_pb2_grpc as export_grpc
from facewave.wire._proto.a2x_export_config_service_pb2 import ConfigsTypeRequest
from tests.servers.certificates import Certificates, make_certificates
from tests.servers.loudness import LoudnessProvider
from tests.servers.serving import RunningServer, call, clip, config, serving, speech


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


def _secure(mode: str, certificates: Certificates) -> dict[str, Any]:
    server = "endpoints.bidirectional.server"
    return {
        f"{server}.secure_mode": mode,
        f"{server}.certificate_path": str(certificates.server),
        f"{server}.key_path": str(certificates.server_key),
        f"{server}.ca_path": str(certificates.ca),
    }


def _channel(server: RunningServer, certificates: Certificates, *, own: bool) -> grpc.Channel:
    credentials = grpc.ssl_channel_credentials(
        certificates.ca.read_bytes(),
        certificates.client_key.read_bytes() if own else None,
        certificates.client.read_bytes() if own else None,
    )
    return grpc.secure_channel(server.target, credentials)


def test_tls(certificates: Certificates) -> None:
    with serving(LoudnessProvider(), config({}, _secure("tls", certificates))) as server:
        with _channel(server, certificates, own=False) as channel:
            answer = call(server.target, clip(speech(0.5)), channel=channel)
        assert (answer.code, len(answer.frames)) == (grpc.StatusCode.OK, 15)
        assert call(server.target, clip(speech(0.5)), timeout=5).code in (
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
        )


def test_mutual_tls_asks_the_client_for_a_certificate(certificates: Certificates) -> None:
    with serving(LoudnessProvider(), config({}, _secure("mtls", certificates))) as server:
        with _channel(server, certificates, own=True) as channel:
            answer = call(server.target, clip(speech(0.5)), channel=channel)
        assert (answer.code, len(answer.frames)) == (grpc.StatusCode.OK, 15)
        with _channel(server, certificates, own=False) as channel:
            refused = call(server.target, clip(speech(0.5)), channel=channel, timeout=5)
        assert refused.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@pytest.mark.parametrize("missing", ["certificate_path", "key_path", "ca_path"])
def test_secure_mode_without_its_files_does_not_start(certificates: Certificates, missing: str) -> None:
    changes = _secure("mtls", certificates) | {f"endpoints.bidirectional.server.{missing}": ""}
    with pytest.raises(SettingsError, match=missing), serving(LoudnessProvider(), config({}, changes)):
        pytest.fail("the server started")


@pytest.fixture(scope="module")
def guarded() -> Iterator[RunningServer]:
    with serving(LoudnessProvider(), None, ServeOptions(keys=(b"first-key", b"second-key"), http_address=None)) as it:
        yield it


@pytest.mark.parametrize("value", ["Bearer first-key", "bearer second-key"])
def test_call_with_a_key_is_served(guarded: RunningServer, value: str) -> None:
    answer = call(guarded.target, clip(speech(0.2)), metadata=[("authorization", value)])
    assert answer.code is grpc.StatusCode.OK


@pytest.mark.parametrize("value", [None, "", "Bearer", "Bearer first-ke", "Bearer first-keys", "Basic first-key"])
def test_call_without_a_key_is_refused(guarded: RunningServer, value: str | None) -> None:
    metadata = [] if value is None else [("authorization", value)]
    answer = call(guarded.target, clip(speech(0.2)), metadata=metadata)
    assert answer.code is grpc.StatusCode.UNAUTHENTICATED
    assert "first-key" not in answer.details
    assert not answer.parts


def test_other_services_are_guarded_too_but_not_health(guarded: RunningServer) -> None:
    with grpc.insecure_channel(guarded.target) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            list(export_grpc.A2XExportConfigServiceStub(channel).GetConfigs(ConfigsTypeRequest()))
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        health = health_pb2_grpc.HealthStub(channel)
        assert health.Check(health_pb2.HealthCheckRequest()).status == health_pb2.HealthCheckResponse.SERVING


def test_keys_sent_to_an_open_server_are_ignored() -> None:
    with serving(LoudnessProvider()) as server:
        metadata = [
            ("authorization", "Bearer nvapi-something"),
            ("function-id", "945ed566-a023-4677-9a49-61ede107fd5a"),
        ]
        assert call(server.target, clip(speech(0.2)), metadata=metadata).code is grpc.StatusCode.OK


def test_key_file(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# team\nalpha\n\n  beta  \n")
    path.chmod(0o600)
    assert read_keys(path) == (b"alpha", b"beta")
    path.chmod(0o644)
    with pytest.raises(SettingsError, match="chmod 600"):
        read_keys(path)
    path.chmod(0o600)
    path.write_text("# nothing\n")
    with pytest.raises(SettingsError, match="no key"):
        read_keys(path)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_keys(tmp_path / "absent")


def test_server_listens_on_this_machine_unless_told_otherwise() -> None:
    defaults = load_config()
    assert defaults.endpoint.address == "127.0.0.1:52000"
    assert ServeOptions().http_address == "127.0.0.1:8000"
    assert {defaults.legacy_address, defaults.legacy_target} == {"127.0.0.1:50000", "127.0.0.1:51000"}
    assert defaults.files["deployment_config.yaml"]["telemetry"]["prometheus_endpoint"] == "127.0.0.1:9464"


def test_taken_port_is_an_error_that_names_it() -> None:
    with serving(LoudnessProvider()) as server:
        same = config({}, {"endpoints.bidirectional.server.url": server.target})
        with pytest.raises(SettingsError, match=server.target), serving(LoudnessProvider(), same):
            pytest.fail("two servers on one port")
