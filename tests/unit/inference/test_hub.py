"""Pulling from a loopback server that speaks the hub's HTTP API."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlparse

import pytest
from typer.testing import CliRunner

from facewave.cli import app
from facewave.errors import ModelError, ModelNotFoundError, RemoteError
from facewave.inference.hub import pull
from tests.model_folders import regression_folder

hub = pytest.importorskip("huggingface_hub")

COMMIT = "5" * 40


class Hub(ThreadingHTTPServer):
    """A hub with one repository."""

    daemon_threads = True

    def __init__(self, repository: str, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repository = repository
        self.files = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.gated = False
        self.break_once: str | None = None
        """File whose first download stops half-way."""
        self.requests: list[tuple[str, str, str | None]] = []
        """(method, path, Range header) of every request."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, *, body: bool) -> None:
        hub, path = self.server, unquote(urlparse(self.path).path)
        hub.requests.append((self.command, path, self.headers.get("Range")))
        api = f"/api/models/{hub.repository}"
        if path.startswith(f"{api}/revision/"):
            revision = path.rsplit("/", 1)[-1]
            if revision not in ("main", COMMIT):
                return self._error(404, "RevisionNotFound", body)
            if hub.gated:
                return self._error(403, "GatedRepo", body)
            siblings = [{"rfilename": name, "size": len(data)} for name, data in hub.files.items()]
            return self._json({"id": hub.repository, "sha": COMMIT, "siblings": siblings, "private": False}, body)
        if path.startswith(f"{api}/tree/"):
            return self._json(
                [{"type": "file", "path": n, "size": len(d), "oid": _etag(d)} for n, d in hub.files.items()], body
            )
        prefix = f"/{hub.repository}/resolve/{COMMIT}/"
        if path.startswith(prefix) and (name := path.removeprefix(prefix)) in hub.files:
            return self._file(name, body)
        return self._error(404, "RepoNotFound", body)

    def _file(self, name: str, body: bool) -> None:
        data = self.server.files[name]
        start = 0
        if asked := self.headers.get("Range"):
            start = int(asked.removeprefix("bytes=").split("-")[0])
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{_etag(data)}"')
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if not body:
            return
        if self.server.break_once == name:
            self.server.break_once = None
            self.wfile.write(data[start : start + len(data) // 2])
            self.close_connection = True
            return
        self.wfile.write(data[start:])

    def _json(self, value: object, body: bool) -> None:
        text = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if body:
            self.wfile.write(text)

    def _error(self, status: int, code: str, body: bool) -> None:
        text = json.dumps({"error": code}).encode()
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if body:
            self.wfile.write(text)


def _etag(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hub]:
    folder = regression_folder(tmp_path / "published")
    (folder / "network.trt").write_bytes(b"engine")
    served = Hub("nvidia/Audio2Face-3D-v2.3-Mark", folder)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()


def test_a_repository_arrives_whole(server: Hub, tmp_path: Path) -> None:
    entry = pull(server.repository, tmp_path / "got", endpoint=server.address)
    assert entry == tmp_path / "got" / "model.json"
    for name, data in server.files.items():
        if name == "network.trt":
            assert not (tmp_path / "got" / name).exists()
        else:
            assert (tmp_path / "got" / name).read_bytes() == data


def test_what_is_there_is_not_fetched_again(server: Hub, tmp_path: Path) -> None:
    pull(server.repository, tmp_path / "got", endpoint=server.address)
    server.requests.clear()
    pull(server.repository, tmp_path / "got", endpoint=server.address)
    assert [request for request in server.requests if request[0] == "GET" and "/resolve/" in request[1]] == []


def test_an_interrupted_file_goes_on_where_it_stopped(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["network.onnx"] += b"\0" * 30_000_000  # the client keeps whole blocks of 10 MB
    server.break_once = "network.onnx"
    with contextlib.suppress(RemoteError):  # clients differ in whether they go on by themselves
        pull(server.repository, tmp_path / "got", endpoint=server.address)
    pull(server.repository, tmp_path / "got", endpoint=server.address)
    resumed = [asked for _, path, asked in server.requests if path.endswith("network.onnx") and asked]
    assert resumed
    assert int(resumed[-1].removeprefix("bytes=").split("-")[0]) > 0
    assert (tmp_path / "got" / "network.onnx").read_bytes() == server.files["network.onnx"]


def test_a_gated_repository_says_what_to_do(server: Hub, tmp_path: Path) -> None:
    server.gated = True
    with pytest.raises(ModelError, match=r"gated\. Open http.*Mark, accept its licence.*hf auth login"):
        pull(server.repository, tmp_path / "got", endpoint=server.address)


def test_unknown_repositories_revisions_and_folders(server: Hub, tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="nobody/nothing: no such repository"):
        pull("nobody/nothing", tmp_path / "got", endpoint=server.address)
    with pytest.raises(ModelNotFoundError, match="no revision 'v9'"):
        pull(server.repository, tmp_path / "got", revision="v9", endpoint=server.address)
    del server.files["model.json"]
    with pytest.raises(ModelNotFoundError, match=r"found no model\.json in it"):
        pull(server.repository, tmp_path / "other", endpoint=server.address)


def test_a_server_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="the download stopped") as caught:
        pull("nvidia/x", tmp_path / "got", endpoint="http://127.0.0.1:9")
    assert caught.value.retryable


def test_the_command_pulls_checks_and_enters_the_model(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    store = str(tmp_path / "store")
    result = CliRunner().invoke(app, ["models", "pull", "audio2face-3d-v2.3-mark", "--store", store])
    assert result.exit_code == 0, result.output
    assert "pulled Audio2Face-3D-v2.3-Mark: regression model of Tiny" in result.output
    listed = CliRunner().invoke(app, ["models", "list", "--store", store])
    assert "Audio2Face-3D-v2.3-Mark" in listed.output
    assert CliRunner().invoke(app, ["models", "remove", "Audio2Face-3D-v2.3-Mark", "--store", store]).exit_code == 0
    assert not (tmp_path / "store" / "Audio2Face-3D-v2.3-Mark").exists()


def test_a_pulled_folder_may_not_name_files_elsewhere(
    server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", server.address)
    entry = json.loads(server.files["model.json"])
    entry["modelDataPath"] = "/etc/passwd.npz"
    server.files["model.json"] = json.dumps(entry).encode()
    result = CliRunner().invoke(app, ["models", "pull", server.repository, "--store", str(tmp_path / "store")])
    assert isinstance(result.exception, ModelError)
    assert "expected a file inside the model's folder" in str(result.exception)
