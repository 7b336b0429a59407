"""Log lines: one a record, with the session's number, as text or JSON."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from facewave.server.logs import set_up


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    root = logging.getLogger("facewave")
    before = root.handlers, root.propagate, root.level, logging.raiseExceptions
    yield logging.getLogger("facewave.server")
    root.handlers, root.propagate, root.level, logging.raiseExceptions = before


def test_text(logger: logging.Logger) -> None:
    out = io.StringIO()
    set_up(logging.INFO, stream=out)
    logger.info("stream ended", extra={"sid": "2.7", "outcome": "OK", "frames": 114})
    logger.debug("not shown")
    (line,) = out.getvalue().splitlines()
    assert line.endswith("Z INFO [SID 2.7] stream ended outcome=OK frames=114")


def test_json(logger: logging.Logger) -> None:
    out = io.StringIO()
    set_up(logging.INFO, as_json=True, stream=out)
    try:
        raise RuntimeError("broken\nin two lines")
    except RuntimeError:
        logger.exception("stream failed", extra={"sid": "3"})
    (text,) = out.getvalue().splitlines()
    line = json.loads(text)
    assert (line["level"], line["message"], line["sid"]) == ("error", "stream failed", "3")
    assert "broken" in line["traceback"]


class Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_disk_full(logger: logging.Logger, capsys: pytest.CaptureFixture[str]) -> None:
    set_up(logging.INFO, stream=Full())
    logger.info("lost")
    assert capsys.readouterr().err == ""
