"""The one place that builds ONNX Runtime sessions."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError, ModelFormatError, ModelNotFoundError, SettingsError

if TYPE_CHECKING:
    import onnxruntime


@dataclass(frozen=True, slots=True)
class Device:
    """One row of the table of devices."""

    name: str
    """Name users choose it by."""

    execution_provider: str
    """What ONNX Runtime calls it."""

    package: str
    """Package whose ONNX Runtime has it."""

    needs: str
    """What the machine must have."""


DEVICES: tuple[Device, ...] = (
    Device("cpu", "CPUExecutionProvider", "onnxruntime", "any CPU"),
    Device("cuda", "CUDAExecutionProvider", "onnxruntime-gpu", "an NVIDIA GPU, CUDA 12 or 13 and cuDNN 9"),
    Device("tensorrt", "TensorrtExecutionProvider", "onnxruntime-gpu", "an NVIDIA GPU and TensorRT 10"),
    Device("coreml", "CoreMLExecutionProvider", "onnxruntime", "macOS"),
    Device("directml", "DmlExecutionProvider", "onnxruntime-directml", "Windows and a DirectX 12 GPU"),
)
"""Where networks can run. `cpu` is the reference; the others may differ by the rounding of their arithmetic."""


_LOG = logging.getLogger("facewave")


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a network."""

    shape: tuple[int | str | None, ...]
    """Sizes; a free dimension is a name or None."""

    type: str
    """ONNX Runtime's spelling, such as `tensor(float)`."""


class Network:
    """A loaded ONNX graph. Holds no state between runs, so any number of streams and threads share it."""

    def __init__(self, session: onnxruntime.InferenceSession, path: Path, form: Path | None = None) -> None:
        self._session = session
        self.path = path
        """File the network came from."""
        self.form = form or path
        """File that was loaded in its place."""
        self.inputs: Mapping[str, tuple[object, ...]] = {node.name: tuple(node.shape) for node in session.get_inputs()}
        """Input name -> shape; a free dimension is a name or None."""
        self.outputs: tuple[str, ...] = tuple(node.name for node in session.get_outputs())
        """Output names in the order of the graph."""
        self.input_tensors = _tensors(session.get_inputs())
        """Input name -> shape and type."""
        self.output_tensors = _tensors(session.get_outputs())
        """Output name -> shape and type."""
        self.metadata: Mapping[str, str] = dict(session.get_modelmeta().custom_metadata_map)
        """The key-value text stored in the file."""
        self.device = _device_of(session.get_providers()[0])
        """Name of the device that runs it."""

    def run(
        self, feeds: Mapping[str, NDArray[np.generic]], outputs: Sequence[str] | None = None
    ) -> list[NDArray[np.float32]]:
        """Run once; arrays in the order of `outputs`, all of them by default."""
        return list(self._session.run(None if outputs is None else list(outputs), dict(feeds)))


def load_network(path: Path, *, threads: int = 1, device: str = "cpu", form: Path | None = None) -> Network:
    """Load an ONNX file.

    Args:
        path: The `.onnx` file.
        threads: CPU threads of one run; 1 is best for small networks and for many streams, 0 takes every core.
        device: A name of `DEVICES`. One that cannot be used here falls back to the CPU, and a
            warning in the log `facewave` says what is missing.
        form: Another file that holds the same network and is loaded in its place.

    Raises:
        ModelNotFoundError: No such file.
        ModelFormatError: Not an ONNX network this runtime can load.
        SettingsError: No such device.
    """
    if not path.is_file():
        raise ModelNotFoundError(f"network {path}: no such file")
    import onnxruntime

    wanted, usable = find_device(device), usable_device(device)
    if usable is not wanted:
        _warn_once(
            f"device {wanted.name}: this ONNX Runtime has no {wanted.execution_provider}; running on the CPU. "
            f"It needs {wanted.needs}, and: pip install {wanted.package}"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_cores()
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Waiting threads that spin take the CPU from other streams and gain nothing on runs of many milliseconds.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    order = list(dict.fromkeys([usable.execution_provider, DEVICES[0].execution_provider]))
    try:
        session = onnxruntime.InferenceSession(str(form or path), options, providers=order)
    except Exception as error:  # The runtime raises types of its own C++ layer that share only this base.
        raise ModelFormatError(f"network {form or path}: ONNX Runtime cannot load it ({error})") from error
    network = Network(session, path, form)
    if network.device != usable.name:
        _warn_once(
            f"device {usable.name}: ONNX Runtime could not start it and runs on the CPU. It needs {usable.needs}"
        )
    return network


def runtime_devices() -> tuple[str, ...]:
    """Execution providers of the installed ONNX Runtime, in its own words; none where it is not installed."""
    try:
        import onnxruntime
    except ImportError:
        return ()
    return tuple(onnxruntime.get_available_providers())


def find_device(name: str) -> Device:
    """The row of the table of devices.

    Raises:
        SettingsError: No such device.
    """
    for device in DEVICES:
        if device.name == name.lower():
            return device
    raise SettingsError(f"device: found {name!r}, expected one of: {', '.join(device.name for device in DEVICES)}")


def usable_device(name: str) -> Device:
    """The device of that name where the installed ONNX Runtime has it, else the CPU.

    Raises:
        SettingsError: No such device.
    """
    wanted = find_device(name)
    return wanted if wanted.execution_provider in runtime_devices() else DEVICES[0]


@cache
def _warn_once(message: str) -> None:
    _LOG.warning(message)


def return_memory() -> None:
    """Give freed memory back to the system; on Linux the C library keeps much of it after large networks."""
    if sys.platform == "linux":
        gc.collect()  # sessions and executors point at each other
        with contextlib.suppress(OSError, AttributeError):  # a C library other than glibc
            ctypes.CDLL(None).malloc_trim(0)


def available_cores() -> int:
    """Cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS and Windows
        return os.cpu_count() or 1


def _tensors(nodes: Sequence[Any]) -> Mapping[str, Tensor]:
    return {node.name: Tensor(tuple(node.shape), node.type) for node in nodes}


def _device_of(execution_provider: str) -> str:
    return next((device.name for device in DEVICES if device.execution_provider == execution_provider), "cpu")


def quantize_weights(source: Path, target: Path) -> None:
    """Write a network whose matrix weights are 8-bit whole numbers; activations are quantised as they come.

    Raises:
        ModelError: The package `onnx`, which this needs, is not installed.
    """
    try:
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise ModelError("making int8 networks needs a package: pip install 'facewave[quantize]'") from error
    # Only products with constant matrices gain: 8-bit convolutions without calibration are slower than float ones.
    quantize_dynamic(source, target, op_types_to_quantize=["MatMul", "Gemm"], weight_type=QuantType.QInt8)


def half_precision(source: Path, target: Path) -> None:
    """Write a network that computes in 16-bit floats and keeps 32-bit inputs and outputs; meant for GPUs.

    Raises:
        ModelError: The package `onnx`, which this needs, is not installed.
    """
    try:
        import onnx
        from onnxruntime.transformers.float16 import convert_float_to_float16
    except ImportError as error:
        raise ModelError("making fp16 networks needs a package: pip install 'facewave[quantize]'") from error
    onnx.save(convert_float_to_float16(onnx.load(str(source)), keep_io_types=True), str(target))
