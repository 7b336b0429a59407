"""A batch on a cluster, through Ray Data: audio from folders, tables and object stores, into a folder of Parquet files.

One row a clip: `input`, `hash`, `provider`, `fps` (a ratio), `frames`, `duration_s`, `spent_s`, `error`, and for every
channel and track the list of its values. Ray starts a worker again that died, with what it had not finished.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..audio.clip import AudioClip
from ..audio.files import EXTENSIONS, read_audio
from ..errors import AudioError, FacewaveError, OutputError, ProviderUnavailableError
from ..outputs.parquet import TRACKS
from ..pipeline import animate
from ..providers import open_provider
from .inputs import find_sources
from .plan import Plan, clip_digest, plan_digest

if TYPE_CHECKING:
    import pyarrow
    import pyarrow.fs

_LOG = logging.getLogger("facewave")

CLIPS_PER_BLOCK = 16
"""Clips of one task: what a worker that dies loses at most."""

_ANIMATOR_CPUS, _WRITER_CPUS = 0.75, 0.25
"""Shares of a core, so that writing never waits for cores that the animators hold."""

_COLUMNS = {
    "input": "string", "hash": "string", "provider": "string", "fps": "string", "frames": "int64",
    "duration_s": "float64", "spent_s": "float64", "error": "string",
}  # fmt: skip


@dataclass(slots=True)
class RaySummary:
    """What became of a batch on a cluster."""

    total: int
    """Clips."""

    animated: int = 0
    failed: list[str] = field(default_factory=list)
    """What was wrong with each that failed."""

    @property
    def skipped(self) -> int:
        """Clips that were there already, for the same audio, settings and model."""
        return max(0, self.total - self.animated - len(self.failed))


def animate_with_ray(
    inputs: Sequence[str], output: str, plan: Plan, *, workers: int | None = None, address: str = ""
) -> RaySummary:
    """Animate clips on a Ray cluster; what the output holds already is not done again.

    Args:
        inputs: As for a local batch; files and folders may also be addresses such as `s3://bucket/takes`. Or one table,
            `x.parquet`, with a column `path`, or `bytes` (and `path` as a name), or `audio` with these two inside.
        output: A folder or its address. Files are added to it; a clip that fails has a row with `error` for each try.
        plan: What is done with every clip; its format is not used.
        workers: Most animators at a time; None takes one a core.
        address: Cluster to join; blank takes the one this program is in, else RAY_ADDRESS, else one of its own.

    Raises:
        ProviderUnavailableError: Ray is not installed.
        AudioError: Nothing to animate, or a table without audio.
        ProviderError, ModelError, SettingsError: The plan cannot be followed.
        OutputError: The output cannot be read or written.
    """
    try:
        import ray
        import ray.data
    except ModuleNotFoundError as error:
        raise ProviderUnavailableError(
            "--engine ray needs Ray: install it with  pip install 'facewave[ray]'"
        ) from error
    provider = open_provider(plan.provider, plan.project)
    provider.open(plan.settings).cancel()  # Settings that no clip can have are found here, not in every worker.
    channels = tuple(plan.finished_channels(provider.info.channels))
    digest = plan_digest(plan)
    before = _results(output)
    done = frozenset(row["hash"] for rows in before.values() for row in rows if row["error"] is None)
    owned = not ray.is_initialized()
    if owned:
        _join(address, workers)
    try:
        count = workers or max(1, int(ray.cluster_resources().get("CPU", 1)))
        clips, total, base = _clips(inputs, count)
        rows = clips.map_batches(
            Animator,
            fn_constructor_args=(plan.with_threads(1), digest, done, channels, base),
            batch_size=1,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(min_size=1, max_size=max(1, min(count, total))),
            num_cpus=_ANIMATOR_CPUS,
        )
        rows.write_parquet(_address(output), ray_remote_args={"num_cpus": _WRITER_CPUS}, compression="zstd")
    except ray.exceptions.RayError as error:
        raise OutputError(f"batch on Ray: {str(error).strip().splitlines()[-1]}") from error
    finally:
        if owned:
            ray.shutdown()
    added = [row for name, rows in _results(output).items() if name not in before for row in rows]
    failed = [row["error"] for row in added if row["error"] is not None]
    return RaySummary(total, len(added) - len(failed), failed)


class Animator:
    """The state of one Ray actor: a model of its own. Rows of audio in, rows of animation out."""

    def __init__(self, plan: Plan, digest: str, done: frozenset[str], channels: tuple[str, ...], base: str) -> None:
        """Args: the plan and its digest, digests of clips to pass over, channels, and where relative paths begin."""
        self._plan = plan
        self._digest = digest
        self._done = done
        self._channels = channels
        self._base = base
        self._provider = open_provider(plan.provider, plan.project)

    def __call__(self, clips: pyarrow.Table) -> pyarrow.Table:
        """One row for each clip that is not done yet."""
        import pyarrow

        rows = [row for clip in clips.to_pylist() for row in self._animated(clip)]
        return pyarrow.Table.from_pylist(rows, _schema(self._channels))

    def _animated(self, clip: dict[str, Any]) -> Iterator[dict[str, Any]]:
        began = time.perf_counter()
        clip = {**clip, **(clip.get("audio") or {})}
        name, data = clip.get("path") or "", clip.get("bytes")
        row: dict[str, Any] = {"input": name, "provider": self._provider.info.name}
        try:
            if data is None:
                data = _read(name, self._base)
            row["hash"] = clip_digest(hashlib.sha256(data).hexdigest(), self._digest)
            row["input"] = name or row["hash"]
            if row["hash"] in self._done:
                return
            row |= self._curves(_decoded(data, row["input"]))
        except FacewaveError as error:
            row["error"] = str(error)
        except Exception as error:  # Whatever one clip does to us, the others shall not suffer for it.
            row["error"] = f"{row['input']}: {type(error).__name__}: {error}"
        yield row | {"spent_s": time.perf_counter() - began}

    def _curves(self, clip: AudioClip) -> dict[str, Any]:
        take = animate(clip, provider=self._provider, settings=self._plan.settings).with_channels(self._channels)
        row: dict[str, Any] = {"fps": str(take.frame_rate), "frames": len(take), "duration_s": clip.duration_s}
        row |= dict(zip(take.channels, take.weights.T, strict=True))
        for track, names in TRACKS.items():
            if (values := getattr(take, track)) is not None:
                row |= dict(zip(names, values.T, strict=True))
        return row


def _schema(channels: Iterable[str]) -> pyarrow.Schema:
    import pyarrow

    curve = pyarrow.list_(pyarrow.float32())
    tracks = [name for names in TRACKS.values() for name in names]
    described = [(name, pyarrow.type_for_alias(kind)) for name, kind in _COLUMNS.items()]
    return pyarrow.schema([*described, *((name, curve) for name in (*channels, *tracks))])


def _join(address: str, workers: int | None) -> None:
    import ray

    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Nothing is reported to anybody unless the user says so.
    if address or os.environ.get("RAY_ADDRESS"):
        ray.init(address=address or None, log_to_driver=False)
    else:
        ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)


def _clips(words: Sequence[str], workers: int) -> tuple[Any, int, str]:
    """A Ray dataset of clips, their number, and the folder that relative paths begin in."""
    import ray.data

    if len(words) == 1 and words[0].rstrip("/").endswith(".parquet"):
        table = ray.data.read_parquet(words[0])
        known = [name for name in ("audio", "bytes", "path") if name in table.schema().names]
        if not known:
            raise AudioError(f"{words[0]}: found no column path, bytes or audio, expected one of them")
        kept = known[:1] if known[0] == "audio" else known
        return table.select_columns(kept), int(table.count()), str(Path(words[0]).absolute().parent)
    paths = [path for word in words for path in (_listed(word) if "://" in word else _local(word))]
    blocks = min(len(paths), max(2 * workers, -(-len(paths) // CLIPS_PER_BLOCK)))
    return ray.data.from_items([{"path": path} for path in paths], override_num_blocks=blocks), len(paths), ""


def _local(word: str) -> list[str]:
    return [str(source.path.absolute()) for source in find_sources([word])]


def _listed(address: str) -> list[str]:
    """The audio files under an address, as addresses."""
    from pyarrow.fs import FileSelector, FileType

    files, root = _filesystem(address)
    try:
        found = files.get_file_info(root)
        entries = [found] if found.type == FileType.File else files.get_file_info(FileSelector(root, recursive=True))
    except OSError as error:
        raise AudioError(f"{address}: cannot be listed ({error})") from error
    start = address[: len(address) - len(root)] if address.endswith(root) else address.split("://")[0] + "://"
    paths = sorted(
        entry.path for entry in entries if entry.type == FileType.File and entry.path.lower().endswith(EXTENSIONS)
    )
    if not paths:
        raise AudioError(f"{address}: holds no audio files")
    return [start + path for path in paths]


def _read(path: str, base: str) -> bytes:
    """The bytes of a local file or of an address."""
    if "://" not in path:
        try:
            return (Path(base) / path).read_bytes()
        except OSError as error:
            raise AudioError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        files, inside = _filesystem(path)
        with files.open_input_stream(inside) as stream:
            return bytes(stream.read())
    except OSError as error:
        raise AudioError(f"{path}: cannot be read ({error})") from error


def _decoded(data: bytes, name: str) -> AudioClip:
    """A clip of encoded audio; the decoder wants a file."""
    suffix = Path(name).suffix.lower()
    with tempfile.NamedTemporaryFile(suffix=suffix if suffix in EXTENSIONS else ".wav", delete=False) as file:
        file.write(data)
    try:
        clip = read_audio(file.name)
        return AudioClip(clip.samples, clip.sample_rate, Path(name))
    except AudioError as error:
        raise AudioError(str(error).replace(file.name, name)) from error
    finally:
        os.unlink(file.name)


def _results(output: str) -> dict[str, list[dict[str, Any]]]:
    """File -> what its rows say of their clips; a file that was cut short when a run was killed is set aside."""
    import pyarrow
    import pyarrow.parquet
    from pyarrow.fs import FileSelector

    files, root = _filesystem(output)
    found = {}
    try:
        for entry in files.get_file_info(FileSelector(root, allow_not_found=True)):
            if not entry.path.endswith(".parquet"):
                continue
            try:
                names = pyarrow.parquet.read_schema(entry.path, filesystem=files).names
            except pyarrow.ArrowInvalid:
                _LOG.warning("%s: cut short when a batch was killed; kept as %s.broken", entry.path, entry.path)
                files.move(entry.path, f"{entry.path}.broken")
                continue
            if not {"hash", "error"} <= set(names):
                raise OutputError(f"{entry.path}: Parquet of another kind; give the batch a folder of its own")
            table = pyarrow.parquet.read_table(entry.path, filesystem=files, columns=["hash", "error"])
            found[entry.path] = table.to_pylist()
    except OSError as error:
        raise OutputError(f"{output}: cannot be read ({error})") from error
    return found


def _filesystem(address: str) -> tuple[pyarrow.fs.FileSystem, str]:
    """Where an address is, and the path in there."""
    import pyarrow
    from pyarrow.fs import FileSystem

    try:
        found: tuple[pyarrow.fs.FileSystem, str] = FileSystem.from_uri(_address(address))
    except (pyarrow.ArrowException, OSError) as error:
        raise OutputError(f"{address}: not an address that can be used ({error})") from error
    return found


def _address(place: str) -> str:
    """An address as it is, a local path as an absolute one."""
    return place if "://" in place else str(Path(place).absolute())
