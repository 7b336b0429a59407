"""The messages in which frames reach browsers and scripts, and who may ask for them over a WebSocket.

A stream is described once, `{"type": "info", ...}`; its frames follow, as binary messages or as JSON; then
`{"type": "end", "frames": n}`. The studio's streams and the live outputs speak the same.
"""

from __future__ import annotations

import hmac
import json
import struct
from collections.abc import Collection, Sequence
from typing import Any
from urllib.parse import parse_qs

import numpy as np

from ..frames import Frame, StreamInfo
from ..timing import seconds_of

PROTOCOL = 1


def info_message(info: StreamInfo, look_ahead_ms: float = 0.0) -> dict[str, Any]:
    """The description of a stream; `look_ahead_ms` is how much later than its audio a frame comes."""
    return {
        "type": "info",
        "protocol": PROTOCOL,
        "channels": list(info.channels),
        "fps": float(info.frame_rate),
        "lookAheadMs": look_ahead_ms,
    }


def frames_message(frames: Sequence[Frame]) -> bytes:
    """Consecutive frames, at least one: index of the first and their number (uint32), then their weights (float32).

    All little-endian; frame k belongs to second k / fps.
    """
    head = struct.pack("<II", frames[0].index, len(frames))
    return head + np.stack([frame.weights for frame in frames]).astype("<f4").tobytes()


def frame_json(frame: Frame, info: StreamInfo) -> str:
    """One frame as a line of JSON: its index, its second and its weights by name, to five decimals."""
    weights = [round(float(value), 5) for value in frame.weights]
    return json.dumps(
        {
            "type": "frame",
            "index": frame.index,
            "seconds": round(seconds_of(frame.index, info.frame_rate), 6),
            "weights": dict(zip(info.channels, weights, strict=True)),
        }
    )


def end_message(frames: int) -> dict[str, Any]:
    """The end of a stream of so many frames."""
    return {"type": "end", "frames": frames}


def is_foreign(origin: str | None, host: str, allowed: Collection[str]) -> bool:
    """Whether a request comes from a web page that is neither the server's own nor an allowed one.

    Browsers send `Origin` with every WebSocket; a program that sends none is judged by the token alone.
    """
    return origin is not None and origin not in {f"http://{host}", f"https://{host}", *allowed}


def has_token(token: str, authorization: str, query: str) -> bool:
    """Whether a request carries the token, as `Authorization: Bearer` or `?token=`; a blank one is always carried."""
    given = authorization.removeprefix("Bearer ").strip() or parse_qs(query).get("token", [""])[0]
    return not token or hmac.compare_digest(given.encode(), token.encode())
