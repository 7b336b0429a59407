"""Every exception facewave raises on purpose.

    FacewaveError
    ├── SettingsError            a value or a configuration file is wrong
    ├── AudioError               the audio cannot be used (not audio, truncated, empty, NaN, too many channels)
    ├── AnimationFileError       an animation file cannot be read or has the wrong form
    ├── ModelError               a model on disk
    │   ├── ModelNotFoundError   no such model or file
    │   └── ModelFormatError     found, but a file, key or array is not as it must be
    ├── ProviderError            a provider cannot do its work
    │   ├── UnknownProviderError no provider of that name
    │   ├── ProviderUnavailableError  known, but an extra, a model or an address is missing
    │   └── RemoteError          a remote service failed; `retryable` says whether another try can help
    ├── SessionError             a call that the session's state does not allow
    └── OutputError              frames cannot be written to their target

Messages name the thing, what was found, what was expected and what to do.
"""

from __future__ import annotations


class FacewaveError(Exception):
    """Base class: catch this to catch everything facewave raises on purpose."""


class SettingsError(FacewaveError):
    """A setting, parameter or configuration file has a value that cannot be used."""


class AudioError(FacewaveError):
    """Audio that cannot be read or used."""


class TranscriptError(FacewaveError):
    """Words that cannot be pronounced, or that do not fit the recording they are said to be of."""


class AnimationFileError(FacewaveError):
    """An animation file that cannot be read."""


class ModelError(FacewaveError):
    """A model on disk that cannot be used."""


class ModelNotFoundError(ModelError):
    """A model, or a file it needs, does not exist."""


class ModelFormatError(ModelError):
    """A model file whose content is not what the format asks for."""


class ProviderError(FacewaveError):
    """A provider that cannot do its work."""


class UnknownProviderError(ProviderError):
    """No provider has the given name."""


class ProviderUnavailableError(ProviderError):
    """The provider exists but lacks something: an extra, a model, an address."""


class RemoteError(ProviderError):
    """A remote service refused or failed."""

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable
        """Whether sending the same clip again can succeed."""


class SessionError(FacewaveError):
    """A call that the state of the session does not allow, such as a push after the finish."""


class OutputError(FacewaveError):
    """Frames that cannot be written to their target."""


_LONGEST = 200


def shown(value: object) -> str:
    """A foreign value in a message: as Python writes it, only its beginning when it is long."""
    return shortened(repr(value))


def shortened(text: str) -> str:
    """A foreign text in a message: only its beginning when it is long."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
