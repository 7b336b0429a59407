"""The one place that builds ONNX Runtime sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelFormatError, ModelNotFoundError

if TYPE_CHECKING:
    import onnxruntime


class Network:
    """A loaded ONNX graph. Holds no state between runs, so any number of streams and threads share it."""

    def __init__(self, session: onnxruntime.InferenceSession, path: Path) -> None:
        self._session = session
        self.path = path
        """File the network came from."""
        self.inputs: Mapping[str, tuple[object, ...]] = {node.name: tuple(node.shape) for node in session.get_inputs()}
        """Input name -> shape; a free dimension is a name or None."""
        self.outputs: tuple[str, ...] = tuple(node.name for node in session.get_outputs())
        """Output names in the order of the graph."""
        self.metadata: Mapping[str, str] = dict(session.get_modelmeta().custom_metadata_map)
        """The key-value text stored in the file."""

    def run(
        self, feeds: Mapping[str, NDArray[np.generic]], outputs: Sequence[str] | None = None
    ) -> list[NDArray[np.float32]]:
        """Run once; arrays in the order of `outputs`, all of them by default."""
        return list(self._session.run(None if outputs is None else list(outputs), dict(feeds)))


def load_network(path: Path, *, threads: int = 1) -> Network:
    """Load an ONNX file for the CPU.

    Args:
        path: The `.onnx` file.
        threads: Threads of one run; 1 is best for small networks and for many streams.

    Raises:
        ModelNotFoundError: No such file.
        ModelFormatError: Not an ONNX network this runtime can load.
    """
    if not path.is_file():
        raise ModelNotFoundError(f"network {path}: no such file")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # The runtime raises types of its own C++ layer that share only this base.
        raise ModelFormatError(f"network {path}: ONNX Runtime cannot load it ({error})") from error
    return Network(session, path)
