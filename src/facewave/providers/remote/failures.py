"""What went wrong at the service, in words that say what to do.

The hosted service wraps nearly every failure into status 13 with the real reason in the text, so the text is read as
well as the code.
"""

from __future__ import annotations

from typing import Any

from ...errors import RemoteError
from .connection import Connection

_RETRYABLE_CODES = frozenset({"UNAVAILABLE", "RESOURCE_EXHAUSTED"})
"""Codes with which a service says that it did not take the call, or had to give it up for no fault of the clip."""

_BY_PROXY = (
    "a proxy on the way ended the call: the server behind it went away, or refused the clip, and its log has the reason"
)

# Part of the text in lower case with blanks for underscores; what it means and what to do; whether another try can
# help. The first match counts.
_BY_TEXT: tuple[tuple[str, str, bool], ...] = (
    ("no authorization was passed", "no API key was sent; set api_key (it begins with nvapi-)", False),
    (
        "invalid response from uam",
        "the API key is not valid; make a new one at build.nvidia.com and set api_key",
        False,
    ),
    ("credits expired", "the account's free credits are used up; buy credits or use a service of your own", False),
    (
        "server error trying to handle an exception",
        "no access to the function; check function_id and function_version, that the function is public or yours, "
        "and that the account has credit",
        False,
    ),
    (
        "failed to establish link to worker",
        "no instance of the hosted function is free; wait a little and try again",
        True,
    ),
    (
        "wrong version number",
        "the address says https, but the service speaks without encryption; write http:// instead",
        False,
    ),
    (
        "certificate verify failed",
        "the service's certificate is not trusted; set ca_file to the PEM file of its certificate authority",
        False,
    ),
    ("certificate required", "the service asks for a client certificate; set cert_file and key_file", False),
    ("handshake", "the encrypted connection could not be set up; check https:// and the certificates", False),
    # What proxies make of a server that dies while it answers, and HAProxy 2.6 of one that refuses: an end of the
    # stream without a status, and a reset.
    ("received rst stream with error code 8", _BY_PROXY, True),
    ("data frame with end stream flag received", _BY_PROXY, True),
    ("dns resolution failed", "the host name is unknown; check the address", True),
    ("errors resolving", "the host name is unknown; check the address", True),
    ("connection refused", "nothing listens at this address; start the service or check the port", True),
    (
        "all addresses",
        "the service cannot be reached; check the address, the network and any firewall",
        True,
    ),
)

_BY_CODE: dict[str, str] = {
    "UNIMPLEMENTED": (
        "the service does not know this call; a service of the other protocol generation? "
        "RemoteA2F speaks to services since 1.2, LegacyA2F to the split protocol before 2.0"
    ),
    "UNAUTHENTICATED": "the service wants a valid key; set api_key",
    "PERMISSION_DENIED": "the key does not allow this call; check api_key and function_id",
    "RESOURCE_EXHAUSTED": "the service has no free stream, or the clip is over a limit; try later or send less",
    "INVALID_ARGUMENT": "the service refused the clip or a setting; see its words",
    "DEADLINE_EXCEEDED": (
        "the service or the connection took too long; an https:// service reached with http:// also looks like this"
    ),
    "UNAVAILABLE": "the service went away or cannot be reached; check that it runs",
    "CANCELLED": "the call was cancelled",
}


def remote_error(error: Any, connection: Connection, *, doing: str) -> RemoteError:
    """Turn a gRPC failure into ours.

    Args:
        error: A `grpc.RpcError` that has `code()` and `details()`.
        connection: Where the call went; named in the message, without its key.
        doing: What was being done, such as `connecting`.
    """
    code = error.code().name if error.code() is not None else "UNKNOWN"
    return described(code, _without_key(error.details() or "", connection), connection, doing=doing)


def described(code: str, details: str, connection: Connection, *, doing: str) -> RemoteError:
    """`remote_error` from a code's name and the service's words."""
    plain = details.lower().replace("_", " ")
    advice, retryable = _BY_CODE.get(code, ""), code in _RETRYABLE_CODES
    for part, meaning, again in _BY_TEXT:
        if part in plain:
            advice, retryable = meaning, again
            break
    if code == "DEADLINE_EXCEEDED" and not connection.secure and connection.target.endswith(":443"):
        advice = "port 443 is for encrypted connections; write the address with https://"
    words = f"{code}: {details}" if details else code
    message = f"{connection.target}: {doing} failed ({words})"
    return RemoteError(f"{message}; {advice}" if advice else message, retryable=retryable)


def _without_key(text: str, connection: Connection) -> str:
    # Some gateways repeat the request's metadata in their error text.
    return text.replace(connection.key(), "***") if connection.api_key else text
