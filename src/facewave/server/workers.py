"""Several server processes behind one port.

One process uses about one core, because Python runs one thread at a time. Here the parent reserves the port and starts
workers that listen on it together (SO_REUSEPORT); the operating system gives each new connection to one of them. Places
are counted over all workers. The parent answers HTTP, adds the metrics up, starts a worker again that died, and passes
the signal to stop on to all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import tempfile
import time
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from ..errors import SettingsError
from ..providers import open_provider
from .config import ServerConfig
from .health import health_routes, metrics_routes, serve_http, split_address
from .logs import set_up
from .metrics import NoMeter, PrometheusMeter, all_workers
from .server import ServeOptions, Server, metadata
from .slots import SharedSlots

logger = logging.getLogger("facewave.server")

_RESTART_WAIT_S = 0.5
"""Between the death of a worker and its successor, so that one that cannot start does not spin."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What every worker needs to know; travels to it as a value."""

    provider: str
    """Name for `open_provider`."""

    config: ServerConfig
    """The configuration, with the port filled in."""

    options: ServeOptions
    """Options without HTTP, which is the parent's."""

    workers: int
    """How many there are."""

    folder: Path
    """What they share: places, metrics, clips."""

    json_logs: bool
    """Form of the log lines."""


class WorkerPool:
    """The parent of the workers.

    Raises:
        SettingsError: No SO_REUSEPORT on this platform, or an address that is taken.
    """

    def __init__(
        self, provider: str, config: ServerConfig, options: ServeOptions, workers: int, *, json_logs: bool = False
    ) -> None:
        """Args: provider name, configuration, options, and how many processes."""
        if not hasattr(socket, "SO_REUSEPORT"):
            raise SettingsError("--workers needs ports that processes can share, which this platform lacks; use 1")
        self._folder = Path(tempfile.mkdtemp(prefix="facewave-server-"))
        self._sockets: list[socket.socket] = []
        self.ports: dict[str, int] = {}
        """Name of each endpoint -> port."""
        (self._folder / "clips").mkdir()
        (self._folder / "metrics").mkdir()
        addresses = {"grpc": config.endpoint.address, "legacy": config.legacy_address}
        if options.authoring_address is not None:
            addresses["authoring"] = options.authoring_address
        if not options.legacy and config.bidirectional:
            del addresses["legacy"]
        reserved = {name: self._reserve(name, address) for name, address in addresses.items()}
        self._parent_options = options
        self._config = replace(
            config,
            endpoint=replace(config.endpoint, address=reserved["grpc"]),
            legacy_address=reserved.get("legacy", config.legacy_address),
        )
        options = replace(
            options,
            http_address=None,
            authoring_address=reserved.get("authoring"),
            clip_folder=self._folder / "clips",
        )
        self._plan = Plan(provider, self._config, options, workers, self._folder, json_logs)
        self.slots = SharedSlots(self._folder / "slots", config.streams, workers)
        """Places over all workers."""
        self._processes: dict[int, BaseProcess] = {}
        self._ready: set[int] = set()
        self._pipes: dict[int, Connection] = {}
        self._http: list[asyncio.Server] = []
        self._stopping = False

    @property
    def pids(self) -> dict[int, int]:
        """Process id of each worker."""
        return {index: process.pid for index, process in self._processes.items() if process.pid is not None}

    @property
    def ready(self) -> bool:
        """Whether clients can be served: at least one worker is up."""
        return bool(self._ready) and not self._stopping

    async def start(self) -> None:
        """Start the workers and wait until all of them serve.

        Raises:
            SettingsError: A worker ended before it served; its own message says why.
        """
        for index in range(self._plan.workers):
            self._spawn(index)
        while len(self._ready) < self._plan.workers:
            await asyncio.sleep(0.02)
            self._listen_to_pipes()
            if any(not process.is_alive() for process in self._processes.values()):
                await self.stop(0)
                raise SettingsError("a worker process could not start; the reason is above")
        routes = health_routes(lambda: self.ready, self._metadata)
        options = self._parent_options
        if options.http_address is not None:
            self._http.append(await serve_http(options.http_address, routes))
            self.ports["http"] = self._http[-1].sockets[0].getsockname()[1]
        if self._config.metrics_address is not None:
            text = all_workers(self.slots, str(self._folder / "metrics"))
            self._http.append(await serve_http(self._config.metrics_address, metrics_routes(text)))
            self.ports["metrics"] = self._http[-1].sockets[0].getsockname()[1]
        logger.info("Running...", extra={"workers": self._plan.workers, **self.ports})

    async def watch(self, stopping: asyncio.Event) -> None:
        """Start workers again that died, until `stopping` is set."""
        died: dict[int, float] = {}
        while not stopping.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), 0.1)
            self._listen_to_pipes()
            for index, process in list(self._processes.items()):
                if process.is_alive():
                    continue
                if index not in died:
                    died[index] = time.monotonic()
                    self._ready.discard(index)
                    self.slots.clear(index)
                    logger.error("worker died", extra={"worker": index + 1, "exit_code": process.exitcode})
                elif time.monotonic() - died[index] > _RESTART_WAIT_S:
                    del died[index]
                    self._spawn(index)

    async def stop(self, grace_s: float, hurry: asyncio.Event | None = None) -> None:
        """Tell every worker to stop, wait for them until `hurry` is set, and clean up."""
        self._stopping = True
        self._terminate()
        deadline = time.monotonic() + grace_s + 5
        hurried = False
        while any(process.is_alive() for process in self._processes.values()) and time.monotonic() < deadline:
            if hurry is not None and hurry.is_set() and not hurried:
                hurried = True
                logger.warning("second signal: stopping now")
                self._terminate()
            await asyncio.sleep(0.02)
        for process in self._processes.values():
            if process.is_alive():
                process.kill()
            process.join()
        for http in self._http:
            http.close()
            await http.wait_closed()
        for reserved in self._sockets:
            reserved.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        logger.info("stopped")

    async def run_until_signal(self) -> None:
        """Start, serve until SIGTERM or SIGINT, stop; a second signal stops without waiting."""
        stopping, hurry = asyncio.Event(), asyncio.Event()

        def on_signal() -> None:
            (hurry if stopping.is_set() else stopping).set()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        await self.start()
        await self.watch(stopping)
        await self.stop(self._plan.options.drain_delay_s + self._plan.options.drain_s, hurry)

    def _terminate(self) -> None:
        for process in self._processes.values():
            process.terminate()

    def _reserve(self, name: str, address: str) -> str:
        """Bind a port without listening, so that port 0 means the same one for all workers."""
        host, port = split_address(address)
        reserved = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            reserved.bind((host, port))
        except OSError as error:
            reserved.close()
            raise SettingsError(f"{name} endpoint {address}: cannot listen there ({error.strerror})") from error
        self._sockets.append(reserved)
        self.ports[name] = reserved.getsockname()[1]
        return f"{address.rpartition(':')[0]}:{self.ports[name]}"

    def _spawn(self, index: int) -> None:
        # A fork would copy gRPC's threads in whatever state they are.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(
            target=run_worker, args=(self._plan, index, theirs), name=f"facewave-worker-{index + 1}"
        )
        process.start()
        theirs.close()
        self._processes[index] = process
        self._pipes[index] = ours

    def _listen_to_pipes(self) -> None:
        for index, pipe in list(self._pipes.items()):
            with contextlib.suppress(EOFError, OSError):
                while pipe.poll():
                    logger.info("worker started", extra={"worker": index + 1, "pid": pipe.recv()})
                    self._ready.add(index)

    def _metadata(self) -> dict[str, object]:
        provider = open_provider(self._plan.provider)
        return {**metadata(provider, self._config, self._parent_options, self.slots), "workers": self._plan.workers}


def run_worker(plan: Plan, index: int, parent: Connection) -> None:
    """What a worker process does: serve until told to stop, or until its parent is gone."""
    set_up(plan.config.log_level, as_json=plan.json_logs)
    meter: NoMeter | PrometheusMeter = NoMeter()
    if plan.config.metrics_address is not None:
        # The library decides between memory and files when it is imported.
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(plan.folder / "metrics")
        meter = PrometheusMeter()
    slots = SharedSlots(plan.folder / "slots", plan.config.streams, plan.workers, index)
    server = Server(
        open_provider(plan.provider),
        plan.config,
        plan.options,
        slots=slots,
        meter=meter,
        worker=index + 1,
        share_port=True,
    )
    try:
        asyncio.run(_serve(server, parent))
    except SettingsError as error:
        logger.critical("%s", error)
        raise SystemExit(1) from error


async def _serve(server: Server, parent: Connection) -> None:
    loop = asyncio.get_running_loop()

    def parent_spoke() -> None:
        # The parent never speaks: what arrives is the end of the pipe, and of the parent.
        loop.remove_reader(parent.fileno())
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(parent.fileno(), parent_spoke)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A terminal sends Ctrl-C to every process; the parent decides when the workers stop.
    await server.run_until_signal(on_ready=lambda: parent.send(os.getpid()), signals=(signal.SIGTERM,))
