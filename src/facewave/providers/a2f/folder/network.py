"""What each kind of model's ONNX network must look like, and the check against what a file holds."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Literal

from ....errors import ModelFormatError
from ....inference.onnx import Network, Tensor
from .bundle import Bundle, DiffusionBundle, RegressionBundle

_LOG = logging.getLogger("facewave")

Free = Literal["batch", "length"]
Shape = tuple[int | Free | None, ...]
"""A size, a dimension that may be free (`batch`, `length`), or None for a size that nothing prescribes."""


def expected_tensors(bundle: Bundle) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """Inputs and outputs by name. Order in the file does not matter."""
    if isinstance(bundle, RegressionBundle):
        emotion = len(bundle.implicit_emotion) + len(bundle.emotions)
        return (
            {"input": ("batch", 1, bundle.buffer_length), "emotion": ("batch", 1, emotion)},
            {"result": ("batch", 1, bundle.sizes.total)},
        )
    if isinstance(bundle, DiffusionBundle):
        # The number of steps is the network's own; what the description says of it may be out of date.
        latents: Shape = (None, bundle.layers, "batch", bundle.latent)
        row = bundle.sizes.total
        return (
            {
                "window": ("batch", bundle.buffer_length),
                "identity": ("batch", len(bundle.identities)),
                "emotion": ("batch", bundle.frames_center, len(bundle.emotions)),
                "input_latents": latents,
                "noise": ("batch", None, bundle.frames, row),
            },
            {"prediction": ("batch", bundle.frames, row), "output_latents": latents},
        )
    return {"input_values": ("batch", "length")}, {"output": ("batch", len(bundle.classes))}


def check_network(network: Network, bundle: Bundle) -> None:
    """Compare a loaded network with its model's description.

    Raises:
        ModelFormatError: A tensor is missing, superfluous, not float32, or of another shape.
    """
    inputs, outputs = expected_tensors(bundle)
    _check(network, "input", network.input_tensors, inputs)
    _check(network, "output", network.output_tensors, outputs)


def diffusion_steps(network: Network, bundle: DiffusionBundle) -> int:
    """Diffusion steps inside the network, from its shapes; a description that differs gets a warning.

    Raises:
        ModelFormatError: The network's own shapes disagree.
    """
    latents, noise = network.input_tensors["input_latents"].shape[0], network.input_tensors["noise"].shape[1]
    if not isinstance(latents, int):
        return bundle.steps
    if isinstance(noise, int) and noise != latents + 1:
        raise ModelFormatError(
            f"network {network.path}: input 'noise' has {noise} blocks, expected {latents + 1} for the {latents} steps "
            "of 'input_latents'"
        )
    if latents != bundle.steps:
        _LOG.warning(
            "%s: num_diffusion_steps is %d, but the network has %d, which count", bundle.folder, bundle.steps, latents
        )
    return latents


def _check(network: Network, role: str, found: Mapping[str, Tensor], expected: Mapping[str, Shape]) -> None:
    where = f"network {network.path}"
    for name, shape in expected.items():
        if name not in found:
            raise ModelFormatError(
                f"{where}: {role} {name!r} is missing, expected shape {_text(shape)}; it has: {', '.join(found)}"
            )
        tensor = found[name]
        if tensor.type != "tensor(float)":
            raise ModelFormatError(f"{where}: {role} {name!r}: found {tensor.type}, expected tensor(float)")
        if not _fits(tensor.shape, shape):
            raise ModelFormatError(
                f"{where}: {role} {name!r}: found shape {_text(tensor.shape)}, expected {_text(shape)} "
                "as the model's network_info.json says"
            )
    extra = [name for name in found if name not in expected]
    if extra:
        raise ModelFormatError(f"{where}: found unknown {role} {extra[0]!r}, expected only: {', '.join(expected)}")


def _fits(found: tuple[int | str | None, ...], expected: Shape) -> bool:
    if len(found) != len(expected):
        return False
    # A dimension the file leaves free fits anything; a fixed one must be the size, or stand where any size may.
    return all(
        not isinstance(size, int) or not isinstance(wanted, int) or size == wanted
        for size, wanted in zip(found, expected, strict=True)
    )


def _text(shape: tuple[int | str | None, ...]) -> str:
    return "(" + ", ".join("?" if size is None else str(size) for size in shape) + ")"
