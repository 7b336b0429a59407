"""What users read when a service refuses or cannot be reached: the cause, and what to do about it."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from rich.console import Console
from rich.traceback import Traceback

from facewave.errors import ProviderUnavailableError, RemoteError
from facewave.providers.remote.connection import Connection, Secret
from facewave.providers.remote.failures import described
from facewave.providers.remote.options import RemoteOptions, RetryPolicy
from facewave.providers.remote.provider import RemoteA2F
from facewave.streams import StreamSettings
from tests.servers.awkward import AwkwardServer, Habits
from tests.servers.awkward_legacy import LegacyService

ONCE = RemoteOptions(connect_timeout_s=10.0, retry=RetryPolicy(attempts=1))

HOSTED = [
    ("no authorization was passed in the metadata", "set api_key", False),
    (
        "failed to open stateful work request: rpc error: code = Unauthenticated desc = invalid response from UAM",
        "the API key is not valid",
        False,
    ),
    (
        "rpc error: code = Internal desc = There was a server error trying to handle an exception",
        "check function_id and function_version",
        False,
    ),
    ("Cloud credits expired. Please contact NVIDIA representatives", "credits are used up", False),
    ("failed to establish link to worker", "no instance of the hosted function is free", True),
]


PROXIES = [
    ("CANCELLED", "Stream removed (RST_STREAM (Received RST_STREAM with error code 8))"),
    ("UNKNOWN", "Stream removed (Data frame with END_STREAM flag received)"),
]
"""What gRPC said of HAProxy 2.6 whose server had died."""


@pytest.fixture
def server() -> Iterator[AwkwardServer]:
    with AwkwardServer() as running:
        yield running


@pytest.mark.parametrize(("details", "advice", "retryable"), HOSTED)
def test_status_13_of_the_hosted_service_says_what_to_do(
    server: AwkwardServer, details: str, advice: str, retryable: bool
) -> None:
    server.habits = Habits(refuse_first=9, refusal=(grpc.StatusCode.INTERNAL, details))
    with pytest.raises(RemoteError, match=advice) as caught:
        _talk(RemoteA2F(Connection(url=server.url), ONCE))
    assert details in str(caught.value)
    assert caught.value.retryable is retryable


@pytest.mark.parametrize(
    ("code", "advice", "retryable"),
    [
        ("UNIMPLEMENTED", "LegacyA2F", False),
        ("UNAUTHENTICATED", "set api_key", False),
        ("PERMISSION_DENIED", "check api_key and function_id", False),
        ("RESOURCE_EXHAUSTED", "no free stream", True),
        ("INVALID_ARGUMENT", "refused the clip", False),
        ("DEADLINE_EXCEEDED", "took too long", False),
        ("UNAVAILABLE", "check that it runs", True),
        ("DATA_LOSS", "DATA_LOSS: words", False),
    ],
)
def test_every_code_has_its_advice(server: AwkwardServer, code: str, advice: str, retryable: bool) -> None:
    server.habits = Habits(refuse_first=9, refusal=(grpc.StatusCode[code], "words"))
    with pytest.raises(RemoteError, match=advice) as caught:
        _talk(RemoteA2F(Connection(url=server.url), ONCE))
    assert caught.value.retryable is retryable
    assert f"127.0.0.1:{server.port}" in str(caught.value)


@pytest.mark.parametrize(("code", "details"), PROXIES)
def test_a_proxy_that_lost_its_server_is_told(code: str, details: str) -> None:
    error = described(code, details, Connection(url="http://proxy:52000"), doing="animating")
    assert "the server behind it went away" in str(error)
    assert error.retryable


def test_nothing_listening_is_told_at_the_opening_after_all_tries(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    provider = RemoteA2F(Connection(url=f"127.0.0.1:{port}"), RemoteOptions(retry=RetryPolicy(3, 0.02)))
    with pytest.raises(RemoteError, match=r"connecting failed .*nothing listens at this address") as caught:
        provider.open(StreamSettings())
    assert caught.value.retryable
    assert caplog.text.count("trying again") == 2
    with pytest.raises(RemoteError, match="nothing listens at this address"):
        provider.allocate()
    assert not provider.info.loaded


def test_an_unknown_host_is_told() -> None:
    with pytest.raises(RemoteError, match="the host name is unknown"):
        RemoteA2F(Connection(url="http://no-such-host.invalid:1"), ONCE).open(StreamSettings())


def test_a_host_that_accepts_but_never_speaks_is_given_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        provider = RemoteA2F(
            Connection(url=f"127.0.0.1:{listener.getsockname()[1]}"),
            RemoteOptions(connect_timeout_s=0.5, retry=RetryPolicy(1)),
        )
        with pytest.raises(RemoteError, match=r"not connected after 0.5 s"):
            provider.open(StreamSettings())
        with pytest.raises(RemoteError, match="DEADLINE_EXCEEDED"):
            provider.allocate()


def test_https_to_a_plain_service_is_told(server: AwkwardServer) -> None:
    provider = RemoteA2F(Connection(url=server.url.replace("http:", "https:")), ONCE)
    with pytest.raises(RemoteError, match="write http:// instead"):
        provider.open(StreamSettings())


def test_http_to_the_port_of_encrypted_services_is_told() -> None:
    connection = Connection(url="http://a2f.example.com:443")
    error = described("DEADLINE_EXCEEDED", "not connected after 10 s", connection, doing="connecting")
    assert "write the address with https://" in str(error)


def test_a_provider_without_an_address_says_how_to_give_one() -> None:
    provider = RemoteA2F()
    for call in (lambda: provider.open(StreamSettings()), provider.allocate):
        with pytest.raises(ProviderUnavailableError, match=r"\[remote\].*FACEWAVE_REMOTE_URL"):
            call()
    provider.free()


@pytest.mark.parametrize(
    ("connection", "words"),
    [
        (Connection(url="http://grpc.nvcf.nvidia.com:443"), "write https://grpc.nvcf.nvidia.com:443"),
        (Connection(url="https://grpc.nvcf.nvidia.com:443"), "FACEWAVE_REMOTE_API_KEY"),
        (Connection(url="https://grpc.nvcf.nvidia.com:443", api_key="nvapi-x"), "FACEWAVE_REMOTE_FUNCTION_ID"),
    ],
)
def test_what_the_hosted_service_needs_is_asked_for_before_any_call(connection: Connection, words: str) -> None:
    with pytest.raises(ProviderUnavailableError, match=words):
        RemoteA2F(connection).open(StreamSettings())


def test_an_answer_that_is_not_the_protocol_is_an_error() -> None:
    pool = ThreadPoolExecutor(2)
    server = grpc.server(pool)
    method: Any = grpc.stream_stream_rpc_method_handler(lambda requests, context: iter([b"\xff\xff\xff"]))
    service = "nvidia_ace.services.a2f_controller.v1.A2FControllerService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"ProcessAudioStream": method}),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with pytest.raises(RemoteError, match="INTERNAL"):
        _talk(RemoteA2F(Connection(url=f"127.0.0.1:{port}"), ONCE))
    server.stop(0).wait()
    pool.shutdown()


def test_a_service_of_the_other_generation_is_told() -> None:
    with (
        LegacyService() as service,
        pytest.raises(RemoteError, match=r"UNIMPLEMENTED.*LegacyA2F to the split protocol"),
    ):
        _talk(RemoteA2F(Connection(url=service.url), ONCE))


def test_a_port_that_speaks_something_else_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    end, _ = listener.accept()
                    with end:
                        end.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(RemoteError, match="connecting failed"):
            _talk(RemoteA2F(Connection(url=f"127.0.0.1:{listener.getsockname()[1]}"), ONCE))
        listener.shutdown(socket.SHUT_RDWR)


def test_a_key_whose_variable_is_missing_is_told_before_any_call(server: AwkwardServer) -> None:
    provider = RemoteA2F(Connection(url=server.url, api_key="$NO_SUCH_KEY"), ONCE)
    with pytest.raises(ProviderUnavailableError, match="NO_SUCH_KEY is not set"):
        provider.open(StreamSettings())
    assert not server.clips


def test_the_key_is_in_no_message_log_or_traceback(
    server: AwkwardServer, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The key is held by no variable of this test, whose own frame is part of the traceback.
    monkeypatch.setenv("SOME_KEY", _key())
    caplog.set_level(logging.DEBUG)
    server.habits = Habits(refuse_first=9, refusal=(grpc.StatusCode.INTERNAL, f"Bearer {_key()} is not valid"))
    for key in (Secret("$SOME_KEY"), Secret(_key())):
        with pytest.raises(RemoteError, match=r"Bearer \*\*\* is not valid") as caught:
            _talk(RemoteA2F(Connection(url=server.url, api_key=key), ONCE))
        console = Console(width=300)
        trace = Traceback.from_exception(
            type(caught.value), caught.value, caught.value.__traceback__, show_locals=True, locals_max_string=500
        )
        with console.capture() as captured:
            console.print(trace)
        shown = captured.get() + "".join(traceback.format_exception(caught.value)) + caplog.text
        assert "locals" in shown
        assert "Zq7" not in shown
    assert [clip.metadata["authorization"] == f"Bearer {_key()}" for clip in server.clips] == [True, True]


def _key() -> str:
    return "nvapi-" + "Zq7" * 30


def _talk(provider: RemoteA2F) -> None:
    session = provider.open(StreamSettings())
    session.push(np.zeros(1600, np.float32))
    session.finish()
