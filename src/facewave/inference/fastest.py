"""The form of a network that runs fastest here with the same numbers: made on first use, kept in the user's cache.

On a CPU that is `plane_convolutions`, whose results differ from the network's own by rounding (1e-6 of the output's
spread). An entry's name is a hash of the network's file, so a changed network never meets an old entry. Nothing that
goes wrong here keeps a network from running: its own form is then taken.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

from ..errors import ModelFormatError
from .onnx import Network, load_network, return_memory, usable_device
from .store import cache_folder
from .variants import existing_variant, plane_convolutions, variant_file

_FORMAT = b"1"
"""Raised when the rearrangement changes; part of every entry's name."""

_UNUSED_DAYS = 90
"""Entries that nobody has used for so long go when another is made."""

_READ_BYTES = 1 << 20

_LOG = logging.getLogger("facewave")


def open_network(
    network: Path, variant: str, *, threads: int = 0, device: str = "cpu", optional: bool = False
) -> Network:
    """Load a network in the form that the settings ask for.

    Args:
        network: The model's own file.
        variant: `models.variant`: blank for the fastest form with the same numbers, `fp32` for the file itself, else
            one of `VARIANTS`.
        threads: As for `load_network`.
        device: As for `load_network`.
        optional: Whether the file itself does where the variant has not been made.

    Raises:
        SettingsError: No such variant or device.
        ModelNotFoundError: No such file, or a variant that has not been made.
        ModelFormatError: Not an ONNX network this runtime can load.
    """
    if variant:
        made = variant_file(network, variant)
        path = network if optional and not made.is_file() else existing_variant(network, variant)
        return load_network(path, threads=threads, device=device)
    form = fastest_form(network, device)
    if form != network:
        try:
            return load_network(network, threads=threads, device=device, form=form)
        except ModelFormatError as error:
            _LOG.info("%s; using the network's own form", error)
    return load_network(network, threads=threads, device=device)


def fastest_form(network: Path, device: str = "cpu") -> Path:
    """The file to load for a network: an entry of the cache, made if need be, or the network itself.

    Raises:
        SettingsError: No such device.
    """
    if not can_rearrange() or not network.is_file() or usable_device(device).name != "cpu":
        return network
    try:
        entry = cache_folder() / "networks" / f"plane-{_digest(network)}.onnx"
        if not entry.is_file():
            _make(network, entry)
        os.utime(entry)
        # An empty entry stands for a network in which there is nothing to rearrange.
        return entry if entry.stat().st_size else network
    except OSError as error:
        _LOG.info("%s: its faster form cannot be kept (%s); using the network's own", network, error)
    except Exception as error:  # the onnx package and protobuf raise types of their own on what they cannot take apart
        _LOG.info("%s: cannot be rearranged (%s: %s); using the network's own", network, type(error).__name__, error)
    return network


def can_rearrange() -> bool:
    """Whether the package is here that making the faster form needs."""
    return find_spec("onnx") is not None


def faster_with(variant: str, device: str) -> str:
    """What to install for the faster form, in words; blank where nothing is missing or another form is chosen."""
    if variant or can_rearrange() or device.lower() != "cpu":
        return ""
    return "runs up to a third faster, with the same numbers, after: pip install 'facewave[quantize]'"


def _make(network: Path, entry: Path) -> None:
    _LOG.info("%s: rearranging it for the CPU, once", network)
    entry.parent.mkdir(parents=True, exist_ok=True)
    _forget_unused(entry.parent)
    handle, temporary = tempfile.mkstemp(dir=entry.parent, prefix=entry.stem, suffix=".part")
    os.close(handle)
    try:
        if not plane_convolutions(network, Path(temporary)):
            Path(temporary).write_bytes(b"")
        os.replace(temporary, entry)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        return_memory()


def _forget_unused(folder: Path) -> None:
    before = time.time() - _UNUSED_DAYS * 86_400
    for path in folder.glob("plane-*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < before:
                path.unlink()


def _digest(path: Path) -> str:
    digest = hashlib.blake2b(_FORMAT, digest_size=20)
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()
