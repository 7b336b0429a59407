"""One gRPC call on one HTTP/2 connection: bytes in, bytes out. No sockets, no clock.

What the two sides negotiate, and headers, trailers, pings and resets, are h2's business. The calls of a load test are
nearly all DATA and WINDOW_UPDATE frames though, and h2 needs for each what a whole client may cost: those are read and
written here, and flow control is counted here.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable
from urllib.parse import unquote

import grpc
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import H2Error
from h2.settings import SettingCodes, Settings

STREAM = 1
WINDOW = 2**20
"""Bytes the server may send ahead, on the stream and on the connection."""

_FRAME = struct.Struct(">HBBBL")  # Length (3 bytes), type, flags, stream.
_HEADER, _DATA, _GOAWAY, _WINDOW_UPDATE = 9, 0x0, 0x7, 0x8
_PREFIX = struct.Struct(">BL")
_CONNECTION_WINDOW = 65_535
"""What a side may send on a connection before it hears more, by the standard."""

_RESETS = {0x2: "INTERNAL", 0x7: "UNAVAILABLE", 0x8: "CANCELLED", 0xB: "RESOURCE_EXHAUSTED", 0xC: "PERMISSION_DENIED"}
"""HTTP/2 error code of a reset stream -> what gRPC calls it; INTERNAL for the others."""

_NAMES = {str(code.value[0]): code.name for code in grpc.StatusCode}


def framed(message: bytes) -> bytes:
    """A message as it travels: not compressed, its length, itself."""
    return _PREFIX.pack(0, len(message)) + message


def _texts(headers: Iterable[tuple[bytes | str, bytes | str]]) -> dict[str, str]:
    """Headers by name; h2's types allow bytes, its configuration here does not."""
    return {str(name): str(value) for name, value in headers}


class Call:
    """A bidirectional call. What `outgoing` holds is to be written to the socket; what comes from it to be received."""

    def __init__(self, authority: str, method: str, timeout_s: float) -> None:
        self._request = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", method),
            (":authority", authority),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            ("user-agent", "facewave-load"),
            ("grpc-accept-encoding", "identity"),
            ("grpc-timeout", f"{round(1000 * timeout_s)}m"),
        ]
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        own = {SettingCodes.ENABLE_PUSH: 0, SettingCodes.INITIAL_WINDOW_SIZE: WINDOW}
        self._h2.local_settings = Settings(client=True, initial_values=own)
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(WINDOW)
        self.outgoing = bytearray(self._h2.data_to_send())
        self.connected = False
        """Whether the server has spoken HTTP/2, before which gRPC's clients send no call."""
        self.code = ""
        """gRPC's name of the outcome, once the call has ended."""
        self.details = ""
        self._begun = False
        self._closing = False
        self._queue: deque[bytes] = deque()
        self._sent = 0
        self._granted = [_CONNECTION_WINDOW, 0]
        self._window = 0
        self._largest = 0
        self._raw = bytearray()
        self._body = bytearray()
        self._unacknowledged = 0

    def begin(self) -> None:
        """Send the call's headers."""
        self._h2.send_headers(STREAM, self._request)
        self._begun = True
        self._flush()

    def send(self, message: bytes) -> None:
        """Send a `framed` message, as far and as soon as the server's windows let it through."""
        if not self._queue and len(message) <= self._window and len(message) <= self._largest:
            self._put(message)
        else:
            self._queue.append(message)
            self._write()

    def half_close(self) -> None:
        """Nothing more will be sent."""
        self._closing = True
        self._write()

    @property
    def waiting(self) -> bool:
        """Whether messages wait for the server to take earlier ones."""
        return bool(self._queue)

    def receive(self, data: bytes) -> list[bytes]:
        """The messages that bytes from the socket complete."""
        raw = self._raw
        raw += data
        at, have, messages = 0, len(raw), []
        while not self.code and have - at >= _HEADER:
            high, low, kind, flags, stream = (
                raw[at],
                raw[at + 1] << 8 | raw[at + 2],
                raw[at + 3],
                raw[at + 4],
                raw[at + 8],
            )
            stop = at + _HEADER + (high << 16 | low)
            if stop > have:
                break
            if kind == _DATA and not flags and stream == STREAM:
                self._body += memoryview(raw)[at + _HEADER : stop]
                self._unacknowledged += stop - at - _HEADER
                messages += self._messages()
            elif kind == _WINDOW_UPDATE and stream <= STREAM and stop == at + _HEADER + 4:
                self._granted[stream] += int.from_bytes(raw[at + _HEADER : stop], "big")
                self._write()
            elif kind == _GOAWAY and stop >= at + _HEADER + 8:
                self._farewell(*struct.unpack_from(">LL", raw, at + _HEADER))
            else:
                messages += self._event(bytes(memoryview(raw)[at:stop]))
            at = stop
        del raw[:at]
        if self._unacknowledged > WINDOW // 2:
            self._acknowledge()
        return messages

    def lost(self, reason: str) -> None:
        """The connection is gone."""
        self._end("UNAVAILABLE", reason)

    def _end(self, code: str, details: str) -> None:
        if not self.code:
            self.code, self.details = code, details

    def _put(self, piece: bytes) -> None:
        self.outgoing += _FRAME.pack(len(piece) >> 8, len(piece) & 0xFF, _DATA, 0, STREAM)
        self.outgoing += piece
        self._window -= len(piece)
        self._sent += len(piece)

    def _write(self) -> None:
        """Send what waits and fits."""
        ours = self._h2.remote_settings.initial_window_size + self._granted[STREAM]
        self._window = min(self._granted[0], ours) - self._sent
        while self._queue and (size := min(len(self._queue[0]), self._window, self._largest)) > 0:
            message = self._queue.popleft()
            if size < len(message):
                self._queue.appendleft(message[size:])
            self._put(message[:size])
        if self._closing and not self._queue and not self.code:
            self._closing = False
            self._h2.end_stream(STREAM)
            self._flush()

    def _messages(self) -> list[bytes]:
        """Take the whole messages out of what has been received."""
        body, at, found = self._body, 0, []
        while len(body) - at >= _PREFIX.size:
            compressed, size = _PREFIX.unpack_from(body, at)
            if compressed:
                self._end("INTERNAL", "a compressed message, which this client has not offered to read")
            if len(body) - at - _PREFIX.size < size:
                break
            at += _PREFIX.size
            found.append(bytes(memoryview(body)[at : at + size]))
            at += size
        del body[:at]
        return found

    def _farewell(self, last_stream: int, error: int) -> None:
        """The server takes no more calls. h2 would hear nothing after that, but a call that it has taken goes on."""
        if last_stream & 0x7FFFFFFF < STREAM or not self._begun:
            self._end("UNAVAILABLE", f"connection refused with HTTP/2 error {error}")

    def _event(self, frame: bytes) -> list[bytes]:
        """Anything but a plain DATA frame, which h2 judges."""
        messages = []
        try:
            for event in self._h2.receive_data(frame):
                if isinstance(event, events.RemoteSettingsChanged):
                    self.connected = True
                elif isinstance(event, events.ResponseReceived):
                    self._check_head(_texts(event.headers))
                elif isinstance(event, events.DataReceived):
                    self._body += event.data
                    self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    messages += self._messages()
                elif isinstance(event, events.TrailersReceived):
                    self._check_end(_texts(event.headers))
                elif isinstance(event, events.StreamEnded):
                    self._end("INTERNAL", "the answer ended without trailers")
                elif isinstance(event, events.StreamReset):
                    code = event.error_code or 0
                    self._end(_RESETS.get(code, "INTERNAL"), f"stream reset with HTTP/2 error {int(code)}")
        except H2Error as error:
            self._end("INTERNAL", f"not HTTP/2 as agreed: {error or type(error).__name__}")
        self._flush()
        return messages

    def _check_head(self, headers: dict[str, str]) -> None:
        if "grpc-status" in headers:
            self._check_end(headers)
        elif headers[":status"] != "200":
            self._end("UNKNOWN", f"HTTP status {headers[':status']}")
        elif not headers.get("content-type", "").startswith("application/grpc"):
            self._end("UNKNOWN", f"content type {headers.get('content-type')!r}, expected application/grpc")

    def _check_end(self, trailers: dict[str, str]) -> None:
        status = trailers.get("grpc-status", "")
        if status not in _NAMES:
            self._end("UNKNOWN", f"grpc-status {status!r} in the trailers")
        elif self._body:
            self._end("INTERNAL", "the answer ended in the middle of a message")
        else:
            self._end(_NAMES[status], unquote(trailers.get("grpc-message", "")))

    def _acknowledge(self) -> None:
        """Let the server send as much again."""
        for stream in (0, STREAM):
            self.outgoing += _FRAME.pack(0, 4, _WINDOW_UPDATE, 0, stream) + struct.pack(">L", self._unacknowledged)
        self._unacknowledged = 0

    def _flush(self) -> None:
        """Collect what h2 wants to say, and what the server now allows."""
        self.outgoing += self._h2.data_to_send()
        if self._begun and not self.code:
            self._largest = self._h2.max_outbound_frame_size
            self._write()
