"""The server's log lines: text or JSON, each with the number of the session it speaks of."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TextIO

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def set_up(level: int, *, as_json: bool = False, stream: TextIO | None = None) -> None:
    """Send the log of `facewave` to a stream, standard error by default. A full disk there loses lines, no clips."""
    # A line that cannot be written is dropped; the alternative prints a traceback to the same full disk.
    logging.raiseExceptions = False
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonLines() if as_json else TextLines())
    root = logging.getLogger("facewave")
    root.handlers = [handler]
    root.propagate = False
    root.setLevel(level)


class TextLines(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO [SID 7] stream ended outcome=OK frames=114`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows on lines of its own."""
        values = dict(_extra(record))
        sid = values.pop("sid", None)
        parts = [_time(record), record.levelname]
        if sid is not None:
            parts.append(f"[SID {sid}]")
        parts.append(record.getMessage())
        parts += [f"{name}={value}" for name, value in values.items()]
        return " ".join(parts) + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """`time`, `level`, `message`, and whatever else the line carries."""
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
        }
        line.update(_extra(record))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _extra(record: logging.LogRecord) -> Iterator[tuple[str, object]]:
    for name, value in vars(record).items():
        if name not in _STANDARD:
            yield name, value
