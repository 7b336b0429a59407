"""Connection settings: addresses, merging, keys that stay hidden, TLS and client certificates on real sockets."""

from __future__ import annotations

import pickle
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from facewave.errors import ProviderUnavailableError, RemoteError, SettingsError
from facewave.providers.remote.connection import Connection, Secret
from facewave.providers.remote.options import RemoteOptions, RetryPolicy
from facewave.providers.remote.provider import RemoteA2F, remote_a2f
from facewave.settings import load_settings
from facewave.streams import StreamSettings
from tests.servers.awkward import AwkwardServer

ONCE = RemoteOptions(retry=RetryPolicy(attempts=1))


@pytest.mark.parametrize(
    ("url", "target", "secure"),
    [
        ("localhost:52000", "localhost:52000", False),
        ("localhost", "localhost:52000", False),
        ("http://10.0.0.7", "10.0.0.7:52000", False),
        ("  https://grpc.nvcf.nvidia.com:443/ ", "grpc.nvcf.nvidia.com:443", True),
        ("https://a2f.example.com", "a2f.example.com:443", True),
        ("HTTPS://A2F.example.com:7", "a2f.example.com:7", True),
        ("[::1]:52000", "[::1]:52000", False),
        ("", "", False),
    ],
)
def test_addresses(url: str, target: str, secure: bool) -> None:
    connection = Connection(url=url)
    assert (connection.target, connection.secure) == (target, secure)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("grpc://host:1", "scheme 'grpc'"),
        ("http://host:99999", "port from 1 to 65535"),
        ("http://host:0", "expected http://host:port"),
        ("http://:52000", "expected http://host:port"),
        ("http://host:1/v1", "more than a host and a port"),
        ("http://user:hunter2@host:1", "credentials in the address"),
    ],
)
def test_what_is_no_address_is_refused(url: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as caught:
        Connection(url=url)
    assert "hunter2" not in str(caught.value)


def test_blank_fields_of_an_override_fall_back_one_by_one() -> None:
    base = Connection(url="http://a:1", api_key="k1", function_id="f1", function_version="v1")
    merged = base.merged(Connection(url="  ", api_key="k2", function_version=""))
    assert merged == Connection(url="http://a:1", api_key="k2", function_id="f1", function_version="v1")
    assert merged.target == "a:1"


def test_metadata_names_key_function_and_version() -> None:
    connection = Connection(url="https://a", api_key="nvapi-1", function_id="f", function_version="v")
    assert [(name, value.encode()) for name, value in connection.metadata()] == [
        ("authorization", b"Bearer nvapi-1"),
        ("function-id", b"f"),
        ("function-version-id", b"v"),
    ]
    assert Connection(url="https://a").metadata() == ()


def test_a_key_is_masked_wherever_it_is_shown() -> None:
    connection = Connection(url="https://a", api_key="nvapi-secret")
    shown = f"{connection} {connection!r} {connection.api_key} {connection.api_key[:9]} {connection.shown()}"
    shown += f"{connection.metadata()} {connection.key()!r} {connection.api_key:>20}"
    assert "secret" not in shown
    assert "***" in shown
    assert connection.merged(Connection()).key().encode() == b"nvapi-secret"
    assert connection.shown()["api_key"] == "***"
    hosted = Connection(url="https://grpc.nvcf.nvidia.com:443", api_key="secret", function_id="f")
    assert hosted.shown()["api_key"] == "<invalid-key>"
    assert Connection().shown()["api_key"] == ""


def test_a_secret_copied_from_a_secret_is_not_its_mask() -> None:
    secret = Secret("abc")
    assert Secret(secret).encode() == b"abc"
    assert secret.after("Bearer ").encode() == b"Bearer abc"
    assert pickle.loads(pickle.dumps(secret)).encode() == b"abc"


def test_a_key_may_be_named_by_its_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection(url="https://a", api_key="$MY_A2F_KEY")
    with pytest.raises(ProviderUnavailableError, match="MY_A2F_KEY is not set"):
        connection.metadata()
    monkeypatch.setenv("MY_A2F_KEY", " nvapi-7\n")
    assert connection.key().encode() == b"nvapi-7"


def test_a_key_with_a_line_break_inside_is_refused_without_showing_it() -> None:
    with pytest.raises(SettingsError, match="control character") as caught:
        Connection(url="https://a", api_key="nvapi-\nsecret")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "exposed"), [("http://10.1.2.3:1", True), ("http://127.0.0.1:1", False), ("https://a", False)]
)
def test_a_key_on_an_open_line_is_noticed(url: str, exposed: bool) -> None:
    assert Connection(url=url, api_key="k").exposes_key is exposed


def test_project_settings_make_the_provider(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    Path("facewave.toml").write_text('[remote]\nurl = "http://a:1"\nfunction_id = "f"\ntimeout_s = 7\n')
    monkeypatch.setenv("FACEWAVE_REMOTE_API_KEY", "nvapi-9")
    provider = remote_a2f(load_settings())
    assert provider.connection == Connection(url="http://a:1", api_key="nvapi-9", function_id="f")
    assert provider.info.name == "RemoteA2F"
    assert provider.info.kind == "remote"


@pytest.mark.parametrize(
    ("options", "words"),
    [({"stall_timeout_s": 0.0}, "stall_timeout_s"), ({"connect_timeout_s": float("nan")}, "connect_timeout_s")],
)
def test_patience_must_be_a_time(options: dict[str, float], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        RemoteOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", [{"attempts": 0}, {"delay_s": -1.0}, {"attempts": 1.5}])
def test_a_retry_policy_must_make_sense(policy: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="remote"):
        RetryPolicy(**policy)  # type: ignore[arg-type]


def test_delays_double_up_to_a_limit() -> None:
    assert [RetryPolicy(9, 0.5).delay_after(attempt) for attempt in range(1, 8)] == [0.5, 1, 2, 4, 8, 8, 8]


class Certificates:
    """An authority, a server certificate for 127.0.0.1, a client certificate, and another authority."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._authority("ca")
        self._authority("stranger")
        self._leaf("server", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        self._leaf("client", "extendedKeyUsage=clientAuth")

    def pem(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def _authority(self, name: str) -> None:
        self._openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", f"/CN={name}", "-keyout", f"{name}.key.pem", "-out", f"{name}.pem",
        )  # fmt: skip

    def _leaf(self, name: str, extension: str) -> None:
        (self.folder / "ext").write_text(extension)
        self._openssl(
            "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={name}", "-keyout", f"{name}.key.pem", "-out", f"{name}.csr",
        )  # fmt: skip
        self._openssl(
            "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key.pem", "-CAcreateserial",
            "-days", "2", "-extfile", "ext", "-out", f"{name}.pem",
        )  # fmt: skip

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self.folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, so that no certificates can be made")
    return Certificates(tmp_path_factory.mktemp("tls"))


def _frames(connection: Connection) -> int:
    provider = RemoteA2F(connection, ONCE)
    session = provider.open(StreamSettings())
    frames = [*session.push(np.zeros(1600, np.float32)), *session.finish()]
    provider.free()
    return len(frames)


def test_tls_with_a_given_authority(certificates: Certificates) -> None:
    with AwkwardServer(tls=(certificates.pem("server"), certificates.pem("server.key"), None)) as server:
        url = server.url.replace("http:", "https:")
        connection = Connection(url=url, ca_file=certificates.pem("ca"), api_key="k")
        assert _frames(connection) == 3
        assert server.clips[0].metadata["authorization"] == "Bearer k"
        for untrusted in (Connection(url=url), Connection(url=url, ca_file=certificates.pem("stranger"))):
            with pytest.raises(RemoteError, match="set ca_file"):
                _frames(untrusted)
        assert len(server.clips) == 1


def test_mutual_tls_wants_a_client_certificate(certificates: Certificates) -> None:
    tls = (certificates.pem("server"), certificates.pem("server.key"), certificates.pem("ca"))
    with AwkwardServer(tls=tls) as server:
        connection = Connection(url=server.url.replace("http:", "https:"), ca_file=certificates.pem("ca"))
        with pytest.raises(RemoteError) as caught:
            _frames(connection)
        assert caught.value.retryable
        proven = connection.merged(
            Connection(cert_file=certificates.pem("client"), key_file=certificates.pem("client.key"))
        )
        assert _frames(proven) == 3


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": "https://a", "cert_file": "c.pem"}, "cert_file without key_file"),
        ({"url": "https://a", "key_file": "k.pem"}, "key_file without cert_file"),
        ({"url": "http://a", "ca_file": "ca.pem"}, "unencrypted address"),
    ],
)
def test_certificates_that_cannot_be_used_are_refused(fields: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        Connection(**fields)


def test_certificate_files_are_named_when_they_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"ca_file: cannot read .*missing.pem"):
        RemoteA2F(Connection(url="https://127.0.0.1:1", ca_file=tmp_path / "missing.pem"), ONCE).open(StreamSettings())
    wrong = tmp_path / "wrong.pem"
    wrong.write_bytes(b"\x00\x01")
    with pytest.raises(SettingsError, match="not a PEM file"):
        RemoteA2F(Connection(url="https://127.0.0.1:1", ca_file=wrong), ONCE).open(StreamSettings())
