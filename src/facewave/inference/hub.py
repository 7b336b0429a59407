"""Fetches model folders from the Hugging Face hub, or from any server that speaks its HTTP API (HF_ENDPOINT)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import ModelError, ModelNotFoundError, RemoteError
from .store import ENTRY_POINT

WANTED = ("*.json", "*.npz", "*.onnx", "*.onnx_data", "*.onnx.data", "*.md", "LICENSE*", "LICENCE*", "NOTICE*")
"""Files of a repository that a model folder consists of; engines and other formats are left out."""


def pull(
    repository: str,
    folder: Path,
    *,
    revision: str = "main",
    endpoint: str | None = None,
    wanted: Sequence[str] = WANTED,
) -> Path:
    """Fetch a repository into a folder and return the model's entry point.

    Files that are there already and unchanged are not fetched again, and one that was interrupted goes on where it
    stopped. Progress goes to the terminal.

    Args:
        repository: `owner/name`.
        folder: Where the files go; made if it is not there.
        revision: Branch, tag or commit.
        endpoint: Address of the server; None takes HF_ENDPOINT, else the public hub.
        wanted: Patterns of the files to fetch.

    Raises:
        ModelNotFoundError: No such repository or revision, or one that is not a model folder.
        ModelError: A gated repository that this user may not read, or the hub's client is not installed.
        RemoteError: The server cannot be reached or failed; trying again continues the download.
    """
    try:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import (
            GatedRepoError,
            HFValidationError,
            RepositoryNotFoundError,
            RevisionNotFoundError,
        )
    except ImportError as error:
        raise ModelError("fetching models needs the hub's client: pip install 'facewave[hub]'") from error
    address = endpoint or os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    page = f"{address.rstrip('/')}/{repository}"
    try:
        snapshot_download(
            repository,
            revision=revision,
            local_dir=folder,
            endpoint=address,
            allow_patterns=list(wanted),
            max_workers=2,
        )
    except GatedRepoError as error:
        raise ModelError(
            f"{repository}: the repository is gated. Open {page}, accept its licence with your account, then log in "
            "here with `hf auth login` (or set HF_TOKEN) and pull again"
        ) from error
    except RevisionNotFoundError as error:
        raise ModelNotFoundError(f"{repository}: found no revision {revision!r}; see {page}") from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelNotFoundError(
            f"{repository}: no such repository at {address}, or one that needs a login: `hf auth login` or HF_TOKEN"
        ) from error
    except Exception as error:  # The client passes on whatever its HTTP library raises, which changes between versions.
        raise RemoteError(
            f"{page}: the download stopped ({_first_line(error)}). What has arrived is kept in {folder}; "
            "pull again to go on",
            retryable=True,
        ) from error
    entry = folder / ENTRY_POINT
    if not entry.is_file():
        raise ModelNotFoundError(f"{repository}: found no {ENTRY_POINT} in it, so it is not a model folder; see {page}")
    return entry


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no message'}"
