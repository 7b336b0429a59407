"""The whole check of a model folder: every file it names is read and compared with the others."""

from __future__ import annotations

from collections.abc import Callable

from ....inference.onnx import load_network
from .bundle import Bundle, EmotionBundle
from .network import check_network


def validate(bundle: Bundle, progress: Callable[[str], None] = lambda step: None) -> None:
    """Read everything a model consists of; returns if it can be used.

    Args:
        bundle: From `load_bundle`, which has checked the small files.
        progress: Called with what is being read, for folders of hundreds of megabytes.

    Raises:
        ModelNotFoundError: A file is missing.
        ModelFormatError: The first thing that is wrong.
    """
    if not isinstance(bundle, EmotionBundle):
        for identity in bundle.identities:
            progress(identity.data.name)
            identity.load()
            for part in identity.poses:
                progress(identity.poses[part].data.name)
                identity.load_poses(part)
    progress(bundle.network.name)
    check_network(load_network(bundle.network), bundle)
