"""One server process: its gRPC services on their ports, HTTP health, metrics, and an orderly start and stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any

import grpc

from ..errors import SettingsError
from ..providers.base import Provider
from ..timing import frame_rate
from .clip import Shape
from .config import ServerConfig
from .health import Routes, health_routes, metrics_routes, serve_http
from .metrics import Meter, NoMeter, single_process
from .security import KeyCheck, credentials
from .service import CONTROLLER, EXPORT_CONFIG, ControllerService, ExportConfigService
from .slots import Slots
from .stream import Host

logger = logging.getLogger("facewave.server")

MAX_MESSAGE = 64 * 2**20
"""Bytes of one message; an authoring upload of 300 s has 10 to 30 million."""

_SWITCH_S = 0.0005
"""How long a thread may keep the interpreter from the others. A message takes several turns between gRPC's threads and
the event loop, and under load each may wait that long: Python's own 5 ms add up in what a client waits for."""

_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    # A peer that is gone without a word is noticed within half a minute, and its place is free again.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Without this one an unanswered ping is waited for a minute, the line above regardless.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # Clients may ping as often as they like; none is sent away for it.
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
)


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """What is not in NVIDIA's files."""

    fps: Fraction = field(default_factory=lambda: frame_rate(30))
    """Frames per second on the wire; clients that place frames by their index expect 30."""

    combined_emotion: bool = False
    """Fill `a2e_output`; NVIDIA's sample clients stop with an error on it."""

    legacy: bool = False
    """Serve the one-way protocol beside the bidirectional one."""

    authoring_address: str | None = None
    """Another address for authoring clients, which look at port 50051; the service itself is always offered."""

    http_address: str | None = "127.0.0.1:8000"
    """Where HTTP health answers; None for nowhere."""

    keys: tuple[bytes, ...] = ()
    """Bearer keys; none lets everyone in."""

    drain_s: float = 30.0
    """Seconds that running streams get to end when the server is told to stop."""

    drain_delay_s: float = 0.0
    """Seconds before that in which new calls are still served while health already says no: what a balancer needs to
    notice."""

    connection_age_s: float | None = None
    """Seconds after which a connection takes no new calls and its client makes another; None for never."""

    clip_folder: Path | None = None
    """Where the authoring service keeps clips; None for a temporary folder."""


class Server:
    """Offers one provider to gRPC clients.

    Raises:
        SettingsError: An address that is taken, certificates that cannot be used, a missing extra.
    """

    def __init__(
        self,
        provider: Provider,
        config: ServerConfig,
        options: ServeOptions | None = None,
        *,
        slots: Slots | None = None,
        meter: Meter | None = None,
        worker: int = 0,
        share_port: bool = False,
    ) -> None:
        """Args: provider, configuration, options; then what only worker processes need.

        slots: places shared with other workers; meter: counts that another process reads; worker: number in session
        numbers; share_port: listen where other workers listen, without HTTP, which is their parent's.
        """
        self._provider = provider
        self._config = config
        self._options = options or ServeOptions()
        self._share_port = share_port
        self._slots = slots or Slots(config.streams)
        self._metrics_text: Callable[[], bytes] | None = None
        if meter is None:
            meter = NoMeter()
            if config.metrics_address is not None:
                meter, self._metrics_text = single_process(self._slots)
        shape = Shape(config.channels, self._options.fps, config.inactive, self._options.combined_emotion)
        self.host = Host(provider, config, shape, slots=self._slots, meter=meter, worker=worker)
        self.ports: dict[str, int] = {}
        """Name of each endpoint -> the port it listens on, once started."""
        self._grpc: grpc.aio.Server | None = None
        self._http: list[asyncio.Server] = []
        self._health: Any = None
        self._closers: list[Callable[[], Any]] = []
        self._ready = False
        self._hurry = asyncio.Event()
        """Set where stopping may not wait for anything."""
        self._started = time.time()

    async def start(self) -> None:
        """Load the provider and listen; returns once clients can be served."""
        try:
            await self._start()
        except BaseException:
            await self.host.stop()
            raise

    async def _start(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._provider.allocate)
        self.host.start()
        interceptors: list[grpc.aio.ServerInterceptor] = [KeyCheck(self._options.keys)] if self._options.keys else []
        if self._config.traces_endpoint is not None:
            from .traces import tracing

            tracer, close = tracing(self._config.traces_endpoint, self._config.service_name)
            interceptors.append(tracer)
            self._closers.append(close)
        self._grpc = grpc.aio.server(
            interceptors=interceptors,
            options=self._channel_options(),
            maximum_concurrent_rpcs=max(1000, 4 * self._config.streams),
        )
        await self._add_services(self._grpc)
        self._listen(self._grpc)
        await self._grpc.start()
        if not self._share_port:
            await self._start_http()
        self._ready = True
        await self._set_health(serving=True)
        logger.info("Running...", extra={"provider": self._provider.info.name, **self.ports})

    async def stop(self, grace_s: float | None = None) -> None:
        """Say so, turn new calls away, let running ones end, then stop. Idempotent.

        Args:
            grace_s: Seconds for running calls, and no delay before them; None takes both from the options.
        """
        if self._grpc is None:
            return
        server, self._grpc = self._grpc, None
        self._ready = False
        await self._set_health(serving=False)
        grace = self._options.drain_s if grace_s is None else grace_s
        if delay_s := self._options.drain_delay_s if grace_s is None else 0.0:
            logger.info("not ready", extra={"streams": self._slots.used, "delay_s": delay_s})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), delay_s)
        logger.info("stopping", extra={"streams": self._slots.used, "grace_s": grace})
        stopping = asyncio.ensure_future(server.stop(grace))
        await asyncio.sleep(0)  # Calls that gRPC had taken before it closed its ports begin first, and are served.
        self.host.draining = True
        hurried = asyncio.ensure_future(self._hurry.wait())
        await asyncio.wait({stopping, hurried}, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        if not stopping.done():
            await server.stop(0)  # A second stop shortens the grace of the first.
        await stopping
        await self.host.stop()
        for http in self._http:
            http.close()
            await http.wait_closed()
        for close in self._closers:
            close()
        self._provider.free()
        logger.info("stopped")

    async def run_until_signal(
        self,
        on_ready: Callable[[], object] | None = None,
        signals: Sequence[signal.Signals] = (signal.SIGTERM, signal.SIGINT),
    ) -> None:
        """Start, serve until a signal comes, then stop; a second one stops without waiting.

        For a process that does nothing else: how it shares its interpreter between threads is changed.
        """
        sys.setswitchinterval(_SWITCH_S)
        stopping = asyncio.Event()

        def on_signal() -> None:
            if stopping.is_set():
                logger.warning("second signal: stopping now")
                self._hurry.set()
            stopping.set()

        loop = asyncio.get_running_loop()
        for number in signals:
            with contextlib.suppress(NotImplementedError):  # Windows' event loop has no signal handlers.
                loop.add_signal_handler(number, on_signal)
        await self.start()
        if on_ready is not None:
            on_ready()
        await stopping.wait()
        await self.stop()

    def metadata(self) -> Mapping[str, object]:
        """What `/v1/metadata` says."""
        return metadata(self._provider, self._config, self._options, self._slots)

    def routes(self) -> Routes:
        """The HTTP paths of this process."""
        return health_routes(lambda: self._ready, self.metadata)

    def _channel_options(self) -> list[tuple[str, int]]:
        options = [*_OPTIONS, ("grpc.so_reuseport", int(self._share_port))]
        if self._options.connection_age_s is not None:
            # gRPC varies the age by a tenth by itself, so that clients do not all come back at once.
            options.append(("grpc.max_connection_age_ms", round(1000 * self._options.connection_age_s)))
        return options

    def _listen(self, server: grpc.aio.Server) -> None:
        secure = credentials(self._config.endpoint)
        addresses = {"grpc": self._config.endpoint.address}
        if not self._config.bidirectional:
            addresses = {"legacy": self._config.legacy_address}
        elif self._options.legacy:
            addresses["legacy"] = self._config.legacy_address
        if self._options.authoring_address is not None:
            addresses["authoring"] = self._options.authoring_address
        for name, address in addresses.items():
            try:
                if secure is None:
                    self.ports[name] = server.add_insecure_port(address)
                else:
                    self.ports[name] = server.add_secure_port(address, secure)
            except RuntimeError as error:
                raise SettingsError(
                    f"{name} endpoint {address}: cannot listen there; the address is not ours or another program has it"
                ) from error

    async def _add_services(self, server: grpc.aio.Server) -> None:
        from .authoring import SERVICE as AUTHORING
        from .authoring import AuthoringService, ClipStore
        from .legacy import SERVICE as LEGACY
        from .legacy import LegacyService

        handlers: dict[str, grpc.GenericRpcHandler] = {EXPORT_CONFIG: ExportConfigService(self._config).handler()}
        if self._config.bidirectional:
            handlers[CONTROLLER] = ControllerService(self.host).handler()
        if self._options.legacy or not self._config.bidirectional:
            legacy = LegacyService(self.host, self._config.legacy_target)
            handlers[LEGACY] = legacy.handler()
        store = ClipStore(self._options.clip_folder)
        self._closers.append(store.close)
        handlers[AUTHORING] = AuthoringService(self.host, store).handler()
        server.add_generic_rpc_handlers(tuple(handlers.values()))
        self._health = _add_health_and_reflection(server, tuple(handlers))

    async def _set_health(self, *, serving: bool) -> None:
        from grpc_health.v1 import health_pb2

        if serving:
            for name in ("", CONTROLLER if self._config.bidirectional else EXPORT_CONFIG):
                await self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        else:
            await self._health.enter_graceful_shutdown()

    async def _start_http(self) -> None:
        if self._options.http_address is not None:
            self._http.append(await serve_http(self._options.http_address, self.routes()))
            self.ports["http"] = self._http[-1].sockets[0].getsockname()[1]
        if self._config.metrics_address is not None and self._metrics_text is not None:
            self._http.append(await serve_http(self._config.metrics_address, metrics_routes(self._metrics_text)))
            self.ports["metrics"] = self._http[-1].sockets[0].getsockname()[1]


def metadata(provider: Provider, config: ServerConfig, options: ServeOptions, slots: Slots) -> dict[str, object]:
    """What a server says about itself."""
    from .. import __version__

    return {
        "name": "facewave",
        "version": __version__,
        "provider": provider.info.name,
        "frame_rate": float(options.fps),
        "blend_shapes": len(config.channels),
        "streams": slots.total,
        "streams_in_use": slots.used,
    }


def _add_health_and_reflection(server: grpc.aio.Server, services: tuple[str, ...]) -> Any:
    """The two standard services; returns the health servicer."""
    try:
        health: Any = import_module("grpc_health.v1.health")
        health_grpc: Any = import_module("grpc_health.v1.health_pb2_grpc")
        reflection: Any = import_module("grpc_reflection.v1alpha.reflection")
    except ImportError as error:
        raise SettingsError(
            f"the server needs a package more ({error.name}): pip install 'facewave[server]'"
        ) from error
    servicer = health.aio.HealthServicer()
    health_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection((*services, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    return servicer
