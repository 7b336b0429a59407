"""Finds the model folder a provider needs: the one that is named, else a fitting one of the store."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

from ...errors import ModelError, ModelNotFoundError, ProviderUnavailableError
from ...inference.store import ModelStore, StoredModel
from ...settings import FacewaveSettings
from .folder.bundle import Bundle, DiffusionBundle, EmotionBundle, FaceBundle, RegressionBundle, load_bundle

FaceKind = Literal["regression", "diffusion"]

IDENTITIES = ("Claire", "James", "Mark")
"""The published identities, in the order of the published diffusion model."""

REPOSITORIES = {
    "Audio2Face-3D-v2.3-Mark": "nvidia/Audio2Face-3D-v2.3-Mark",
    "Audio2Face-3D-v2.3.1-Claire": "nvidia/Audio2Face-3D-v2.3.1-Claire",
    "Audio2Face-3D-v2.3.1-James": "nvidia/Audio2Face-3D-v2.3.1-James",
    "Audio2Face-3D-v3.0": "nvidia/Audio2Face-3D-v3.0",
    "Audio2Emotion-v2.2": "nvidia/Audio2Emotion-v2.2",
    "Audio2Emotion-v3.0": "nvidia/Audio2Emotion-v3.0",
}
"""The published models by the names they get in the store."""

_LOG = logging.getLogger("facewave")


def model_store(settings: FacewaveSettings) -> ModelStore:
    """The store that the settings describe."""
    models = settings.models
    folder = Path(models.store).expanduser() if models.store else None
    return ModelStore(folder, [Path(path).expanduser() for path in models.path])


def find_face(settings: FacewaveSettings, kind: FaceKind, identity: str) -> FaceBundle:
    """The face model of a provider.

    Raises:
        ProviderUnavailableError: None is named and the store has none.
        ModelError: The one that is named is missing, damaged or of another kind.
    """
    named = settings.models.face
    if named:
        bundle = load_bundle(named_path(settings, named))
        if bundle.kind != kind:
            raise ModelError(
                f"{bundle.folder}: found a model of kind {bundle.kind}, expected {kind}; "
                f"{_suited(bundle)} takes this one"
            )
        assert isinstance(bundle, RegressionBundle | DiffusionBundle)
        return bundle
    for model in model_store(settings).models():
        found = _usable(model, kind)
        if (
            found is not None
            and not isinstance(found, EmotionBundle)
            and any(actor.name.lower() == identity.lower() for actor in found.identities)
        ):
            return found
    published = published_name(kind, identity)
    raise ProviderUnavailableError(
        f"no {kind} model of {identity} is here. Fetch the published one with: facewave models pull {published}; "
        "or name a folder you have: facewave models add PATH, or --model PATH"
    )


def find_emotion(settings: FacewaveSettings) -> EmotionBundle | None:
    """The Audio2Emotion model: the one that is named, else one of the store, else none.

    Raises:
        ModelError: The one that is named is missing, damaged or of another kind.
    """
    named = settings.models.emotion
    if named.lower() == "none":
        return None
    if named:
        return require_emotion(settings, named)
    for model in model_store(settings).models():
        found = _usable(model, "emotion")
        if isinstance(found, EmotionBundle):
            return found
    return None


def require_emotion(settings: FacewaveSettings, named: str) -> EmotionBundle:
    """The Audio2Emotion model at a path, or of that name in the store.

    Raises:
        ModelError: It is missing, damaged or of another kind.
    """
    bundle = load_bundle(named_path(settings, named))
    if not isinstance(bundle, EmotionBundle):
        raise ModelError(f"{bundle.folder}: found a {bundle.kind} model, expected an Audio2Emotion model")
    return bundle


def named_path(settings: FacewaveSettings, named: str) -> Path:
    """Entry point of a model given by path or by its name in the store.

    Raises:
        ModelNotFoundError: Neither.
    """
    path = Path(named).expanduser()
    if path.exists():
        return path
    try:
        return model_store(settings).find(named).path
    except ModelNotFoundError as error:
        raise ModelNotFoundError(f"model {named!r}: no such file or folder, and {error}") from error


def identity_index(bundle: FaceBundle, identity: str) -> int:
    """Which of a model's identities a provider's name means.

    A model made by somebody else may know none of the published names: its only identity then stands for all, and
    those of a larger one are taken in the published order.

    Raises:
        ModelError: No identity fits.
    """
    names = [actor.name for actor in bundle.identities]
    for index, name in enumerate(names):
        if name.lower() == identity.lower():
            return index
    index = 0 if len(names) == 1 else IDENTITIES.index(identity)
    if index >= len(names):
        raise ModelError(f"{bundle.folder}: found identities {', '.join(names)}, expected {identity} among them")
    _LOG.info("%s has no identity %s; using %s", bundle.folder, identity, names[index])
    return index


def published_name(kind: FaceKind, identity: str) -> str:
    """The published model that a provider was made for."""
    if kind == "diffusion":
        return "Audio2Face-3D-v3.0"
    return next(name for name in REPOSITORIES if name.endswith(f"-{identity}"))


def _usable(model: StoredModel, kind: str) -> Bundle | None:
    if model.kind and model.kind != kind:
        return None
    try:
        bundle = load_bundle(model.path)
    except ModelError as error:
        _LOG.warning("model %s is left out: %s", model.name, error)
        return None
    return bundle if bundle.kind == kind else None


def _suited(bundle: Bundle) -> str:
    if isinstance(bundle, EmotionBundle):
        return "--emotion-model"
    return "LocalA2F-Mark-AR" if isinstance(bundle, RegressionBundle) else "LocalA2F-Mark"
