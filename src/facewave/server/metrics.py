"""What a server counts, and how Prometheus reads it.

`streams_in_use` and `streams_available` have the names of NVIDIA's service. Everything else is ours and begins with
`facewave_`. With several workers each writes its counts to files that the parent process adds up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol

from ..errors import SettingsError
from .slots import Slots

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import GaugeMetricFamily


class Meter(Protocol):
    """What the rest of the server reports."""

    def stream_ended(self, outcome: str, frames: int, seconds: float) -> None:
        """A call is over: `OK` or the name of its gRPC code, frames delivered, wall seconds."""

    def first_frame(self, seconds: float) -> None:
        """The first frame left, so long after the header had arrived."""

    def batch(self, streams: int, seconds: float) -> None:
        """A batch of so many streams took so long."""


class NoMeter:
    """Where metrics are off."""

    def stream_ended(self, outcome: str, frames: int, seconds: float) -> None:
        """Nothing."""

    def first_frame(self, seconds: float) -> None:
        """Nothing."""

    def batch(self, streams: int, seconds: float) -> None:
        """Nothing."""


class PrometheusMeter:
    """Counts of one process."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Args: where the metrics register; None in a worker, whose counts go to files."""
        client = _client()
        where: dict[str, Any] = {"registry": registry}
        self._streams = client.Counter("facewave_streams", "Calls ended, by outcome.", ["outcome"], **where)
        self._frames = client.Counter("facewave_frames", "Frames delivered.", **where)
        self._fps = client.Histogram(
            "facewave_stream_fps",
            "Frames per wall second of each call that ended well.",
            buckets=(10, 20, 25, 29, 29.5, 30, 31, 35, 60, 120, 500, 2000),
            **where,
        )
        self._first = client.Histogram(
            "facewave_first_frame_seconds",
            "From a call's header to its first frame; includes the wait for enough audio.",
            buckets=(0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.75, 1, 2, 5),
            **where,
        )
        self._batch_seconds = client.Histogram(
            "facewave_batch_seconds",
            "Time of one batch.",
            buckets=(0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1),
            **where,
        )
        self._batch_streams = client.Histogram(
            "facewave_batch_streams", "Streams in one batch.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256), **where
        )

    def stream_ended(self, outcome: str, frames: int, seconds: float) -> None:
        """See `Meter`."""
        self._streams.labels(outcome).inc()
        self._frames.inc(frames)
        if outcome == "OK" and frames and seconds > 0:
            self._fps.observe(frames / seconds)

    def first_frame(self, seconds: float) -> None:
        """See `Meter`."""
        self._first.observe(seconds)

    def batch(self, streams: int, seconds: float) -> None:
        """See `Meter`."""
        self._batch_streams.observe(streams)
        self._batch_seconds.observe(seconds)


def single_process(slots: Slots) -> tuple[Meter, Callable[[], bytes]]:
    """A meter, and a function that gives the text Prometheus scrapes."""
    client = _client()
    registry = client.CollectorRegistry()
    registry.register(_StreamGauges(slots))
    return PrometheusMeter(registry), lambda: bytes(client.generate_latest(registry))


def all_workers(slots: Slots, folder: str) -> Callable[[], bytes]:
    """A function that gives the text Prometheus scrapes, added up over workers that write to `folder`."""
    client = _client()
    multiprocess: Any = import_module("prometheus_client.multiprocess")

    def text() -> bytes:
        registry = client.CollectorRegistry()
        multiprocess.MultiProcessCollector(registry, path=folder)
        registry.register(_StreamGauges(slots))
        return bytes(client.generate_latest(registry))

    return text


class _StreamGauges:
    """Places taken and free, read when scraped."""

    def __init__(self, slots: Slots) -> None:
        self._slots = slots

    def collect(self) -> Iterator[GaugeMetricFamily]:
        from prometheus_client.core import GaugeMetricFamily

        used = self._slots.used
        yield GaugeMetricFamily("streams_in_use", "Streams running now.", used)
        yield GaugeMetricFamily("streams_available", "Streams that could begin now.", self._slots.total - used)


def _client() -> Any:
    try:
        import prometheus_client
    except ImportError as error:
        raise SettingsError("metrics need the package prometheus-client: pip install 'facewave[server]'") from error
    return prometheus_client
