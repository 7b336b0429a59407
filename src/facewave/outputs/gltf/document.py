"""A glTF file in memory: its JSON as it stands and its buffers, so that what we do not know is kept.

What a file says of sizes and places is checked against the bytes there are before anything is allocated.

Source: Khronos, glTF 2.0 specification, sections 3.6 (accessors) and 4 (GLB).
"""

from __future__ import annotations

import base64
import binascii
import json
import struct
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from ...errors import AnimationFileError

MAGIC = b"glTF"
FLOAT = 5126
_JSON, _BIN = 0x4E4F534A, 0x004E4942
_TYPES = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT2": 4, "MAT3": 9, "MAT4": 16}
_COMPONENTS = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", FLOAT: "<f4"}
_IMAGES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".ktx2": "image/ktx2",
}
_ZEROS = 1 << 24
"""Numbers an accessor may declare without storing them."""


class Document:
    """One glTF file."""

    def __init__(self, label: str, content: dict[str, Any], folder: Path | None, chunks: list[bytes]) -> None:
        self.label = label
        """How messages name the file."""
        self.content = content
        """The JSON."""
        self.folder = folder
        """Where files lie that this one refers to; None where it may refer to none."""
        self._buffers: list[bytearray | None] = []
        self._chunks = chunks

    def fail(self, message: str) -> AnimationFileError:
        """An error about this file, to raise."""
        return AnimationFileError(f"{self.label}: {message}")

    def objects(self, key: str) -> list[dict[str, Any]]:
        """A top-level list of objects, such as `nodes`; empty where there is none."""
        return self.inner(self.content, key, "the file")

    def inner(self, holder: dict[str, Any], key: str, where: str) -> list[dict[str, Any]]:
        """A list of objects inside another object."""
        found = holder.get(key, [])
        if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
            raise self.fail(f"{key!r} in {where} is not a list of objects")
        return found

    def item(self, key: str, index: Any) -> dict[str, Any]:
        """Entry `index` of a top-level list.

        Raises:
            AnimationFileError: There is no such entry.
        """
        entries, number = self.objects(key), self.whole(index, f"an index into {key!r}")
        if number >= len(entries):
            raise self.fail(f"refers to entry {number} of {key!r}, which has {len(entries)}")
        return entries[number]

    def whole(self, value: Any, what: str, default: int | None = None) -> int:
        """A whole number, 0 or more; `default` where the file leaves it out."""
        if value is None and default is not None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self.fail(f"{what} is {str(value)[:40]!r}, expected a whole number, 0 or more")
        return value

    def array(self, index: Any) -> NDArray[Any]:
        """The values of an accessor, shape (count, components); normalised integers become floats.

        Raises:
            AnimationFileError: Sizes or types that do not fit together.
        """
        entry = self.item("accessors", index)
        what = f"accessor {index}"
        kind, component = entry.get("type"), entry.get("componentType")
        if not isinstance(kind, str) or kind not in _TYPES or component not in list(_COMPONENTS):
            raise self.fail(f"{what} has type {str(kind)[:40]!r} of {str(component)[:40]!r}, which glTF does not know")
        count, width, dtype = (
            self.whole(entry.get("count"), f"{what}'s count"),
            _TYPES[kind],
            np.dtype(_COMPONENTS[component]),
        )
        if entry.get("bufferView") is None:
            if count * width > _ZEROS:
                raise self.fail(f"{what} declares {count} elements and stores none")
            values = np.zeros((count, width), dtype)
        else:
            values = self._stored(entry, what, count, width, dtype)
        sparse = entry.get("sparse")
        if sparse is not None:
            values = self._with_sparse(values.copy(), sparse, what)
        if entry.get("normalized") and dtype.kind != "f":
            return np.maximum(values / np.float32(np.iinfo(dtype).max), -1).astype(np.float32)
        return values

    def _stored(self, entry: dict[str, Any], what: str, count: int, width: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        view = self.item("bufferViews", entry.get("bufferView"))
        data = self._view(view, what)
        start, item = self.whole(entry.get("byteOffset"), f"{what}'s byteOffset", 0), width * dtype.itemsize
        stride = self.whole(view.get("byteStride"), f"{what}'s byteStride", item)
        needed = start + (count - 1) * stride + item if count else start
        if stride < item or needed > len(data):
            raise self.fail(f"{what} needs {needed} bytes with a stride of {stride}, its buffer view has {len(data)}")
        return np.ndarray((count, width), dtype, data, start, (stride, dtype.itemsize))

    def _with_sparse(self, values: NDArray[Any], sparse: Any, what: str) -> NDArray[Any]:
        if not isinstance(sparse, dict) or not all(isinstance(sparse.get(key), dict) for key in ("indices", "values")):
            raise self.fail(f"{what} has a sparse part without indices or values")
        count = self.whole(sparse.get("count"), f"{what}'s sparse count")
        component = sparse["indices"].get("componentType")
        if component not in (5121, 5123, 5125):
            raise self.fail(f"{what} has sparse indices of type {str(component)[:40]!r}, which glTF does not know")
        places = self._stored(sparse["indices"], what, count, 1, np.dtype(_COMPONENTS[component]))[:, 0]
        if count and places.max() >= len(values):
            raise self.fail(f"{what} has the sparse index {places.max()} for {len(values)} elements")
        values[places] = self._stored(sparse["values"], what, count, values.shape[1], values.dtype)
        return values

    def _view(self, view: dict[str, Any], what: str) -> memoryview:
        number = self.whole(view.get("buffer"), f"the buffer of {what}")
        if number >= len(self._buffers):
            raise self.fail(f"{what} lies in buffer {number}, the file has {len(self._buffers)}")
        data = self._buffers[number]
        start = self.whole(view.get("byteOffset"), f"the byteOffset of {what}'s view", 0)
        length = self.whole(view.get("byteLength"), f"the byteLength of {what}'s view")
        if data is None or start + length > len(data):
            there = "holds no bytes" if data is None else f"has {len(data)}"
            raise self.fail(f"{what} needs bytes {start} to {start + length} of buffer {number}, which {there}")
        return memoryview(data)[start : start + length]

    def add_view(self, data: bytes) -> int:
        """Append bytes on a boundary of four; returns the index of their buffer view."""
        buffers = self.content.setdefault("buffers", [])
        number = next((i for i, held in enumerate(self._buffers) if held is not None), len(buffers))
        if number == len(buffers):
            buffers.append({})
            self._buffers.append(bytearray())
        held = self._buffers[number]
        assert held is not None
        held.extend(b"\0" * (-len(held) % 4))
        views = self.content.setdefault("bufferViews", [])
        views.append({"buffer": number, "byteOffset": len(held), "byteLength": len(data)})
        held.extend(data)
        buffers[number]["byteLength"] = len(held)
        return len(views) - 1

    def add_floats(self, values: NDArray[np.float32], kind: str = "SCALAR", *, bounds: bool = False) -> int:
        """Append a float accessor, one element for each row of `values`; returns its index."""
        rows = np.ascontiguousarray(values, "<f4").reshape(-1, _TYPES[kind])
        entry: dict[str, Any] = {
            "bufferView": self.add_view(rows.tobytes()), "componentType": FLOAT, "count": len(rows), "type": kind
        }  # fmt: skip
        if bounds:
            entry["min"], entry["max"] = rows.min(axis=0).tolist(), rows.max(axis=0).tolist()
        accessors = self.content.setdefault("accessors", [])
        accessors.append(entry)
        return len(accessors) - 1

    def to_glb(self) -> bytes:
        """The file as GLB; buffers and images that lay beside it are inside."""
        for image in self.objects("images"):
            if (uri := image.get("uri")) is not None:
                data, mime = _resource(self, uri)
                image["bufferView"] = self.add_view(data)
                image["mimeType"] = image.get("mimeType") or mime
                del image["uri"]
        chunk = self._buffers[0] if self._buffers else None
        for entry, held in list(zip(self.objects("buffers"), self._buffers, strict=True))[chunk is not None :]:
            if held is not None:
                entry["uri"] = _data_uri(held, "application/octet-stream")
        parts = []
        if chunk is not None:
            self.objects("buffers")[0].pop("uri", None)
            parts = [_chunk(_BIN, bytes(chunk), b"\0")]
        body = b"".join([_chunk(_JSON, self._text(), b" "), *parts, *self._chunks])
        return struct.pack("<4sII", MAGIC, 2, 12 + len(body)) + body

    def to_text(self) -> bytes:
        """The file as one .gltf with all data inside."""
        for image in self.objects("images"):
            if (uri := image.get("uri")) is not None:
                data, mime = _resource(self, uri)
                image["uri"] = _data_uri(data, mime)
        for entry, held in zip(self.objects("buffers"), self._buffers, strict=True):
            if held is not None:
                entry["uri"] = _data_uri(held, "application/octet-stream")
        return self._text()

    def _text(self) -> bytes:
        # Readers tell a glTF from other JSON by its first words.
        ordered = {"asset": self.content["asset"], **self.content}
        return json.dumps(ordered, separators=(",", ":")).encode()


def open_document(label: str, data: bytes, folder: Path | None = None) -> Document:
    """A glTF file from its bytes, `.glb` or `.gltf`.

    Args:
        label: How messages name the file.
        data: The file.
        folder: Where files lie that it refers to; None where it must hold everything itself.

    Raises:
        AnimationFileError: Not glTF 2, truncated, or sizes that do not fit; the message says which.
    """
    chunk: bytes | None = None
    others: list[bytes] = []
    text = data
    if data[:4] == MAGIC:
        text, chunk, others = _chunks(label, data)
    try:
        content: Any = json.loads(text.decode("utf-8-sig"), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise AnimationFileError(f"{label}: its JSON cannot be read ({str(error)[:200]})") from error
    if not isinstance(content, dict) or not isinstance(content.get("asset"), dict):
        raise AnimationFileError(f"{label}: not glTF: an 'asset' is missing")
    version = content["asset"].get("version")
    if not isinstance(version, str) or not version.startswith("2."):
        raise AnimationFileError(
            f"{label}: glTF version {str(version)[:40]!r}, expected 2.0; export it again as glTF 2"
        )
    document = Document(label, content, folder, others)
    for number, entry in enumerate(document.objects("buffers")):
        document._buffers.append(_buffer(document, number, entry, chunk))
    return document


def _refuse(name: str) -> Any:
    raise ValueError(f"found {name}, which JSON does not have")


def _chunks(label: str, data: bytes) -> tuple[bytes, bytes | None, list[bytes]]:
    """The JSON, the binary chunk if there is one, and other chunks as they stand."""
    if len(data) < 20:
        raise AnimationFileError(f"{label}: truncated: {len(data)} bytes, expected a GLB header and its JSON")
    version, length = struct.unpack_from("<II", data, 4)
    if version != 2:
        raise AnimationFileError(f"{label}: GLB version {version}, expected 2; export it again as glTF 2")
    if length > len(data):
        raise AnimationFileError(f"{label}: truncated: {len(data)} bytes of the {length} its header declares")
    found: list[tuple[int, bytes]] = []
    at = 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<II", data, at)
        if at + 8 + size > length:
            raise AnimationFileError(f"{label}: a chunk of {size} bytes at byte {at} ends behind the file")
        found.append((kind, data[at + 8 : at + 8 + size]))
        at += 8 + size
    if not found or found[0][0] != _JSON:
        raise AnimationFileError(f"{label}: the first chunk is not JSON, as GLB asks for")
    binary = found[1][1] if len(found) > 1 and found[1][0] == _BIN else None
    rest = found[1 if binary is None else 2 :]
    return found[0][1], binary, [struct.pack("<II", len(content), kind) + content for kind, content in rest]


def _chunk(kind: int, data: bytes, padding: bytes) -> bytes:
    data += padding * (-len(data) % 4)
    return struct.pack("<II", len(data), kind) + data


def _buffer(document: Document, number: int, entry: dict[str, Any], chunk: bytes | None) -> bytearray | None:
    """The bytes of a buffer; None for one that extensions declare without any."""
    length = document.whole(entry.get("byteLength"), f"buffer {number}'s byteLength")
    if entry.get("uri") is not None:
        held, _ = _resource(document, entry["uri"])
    elif number == 0 and chunk is not None:
        held = chunk
    elif isinstance(entry.get("extensions"), dict):
        return None
    else:
        raise document.fail(f"buffer {number} has neither an address nor a binary chunk")
    if length > len(held):
        raise document.fail(f"buffer {number} declares {length} bytes and has {len(held)}")
    return bytearray(held[:length])


def _resource(document: Document, uri: Any) -> tuple[bytes, str]:
    """The bytes behind a data address, or of a file in the model's own folder, and their media type."""
    if not isinstance(uri, str):
        raise document.fail(f"an address is {str(uri)[:40]!r}, expected text")
    if uri.startswith("data:"):
        head, comma, body = uri[5:].partition(",")
        if not comma or not head.endswith(";base64"):
            raise document.fail(f"an address begins {uri[:40]!r}, expected base64 data")
        try:
            return base64.b64decode(body, validate=True), head.removesuffix(";base64").partition(";")[0]
        except (binascii.Error, ValueError) as error:
            raise document.fail(f"the data of an address is not base64 ({error})") from error
    name = unquote(uri)
    if document.folder is None:
        raise document.fail(f"refers to {name[:80]!r} and must hold everything itself; export it with its data inside")
    if "://" in name or "\0" in name:
        raise document.fail(f"refers to {name[:80]!r}, expected a file beside it; nothing is fetched")
    home = document.folder.resolve()
    path = (home / name).resolve()
    if not path.is_relative_to(home):
        raise document.fail(f"refers to {name[:80]!r} outside its own folder, which is not followed")
    try:
        if not path.is_file():
            raise document.fail(f"refers to {name[:80]!r}, which is not a file beside it")
        return path.read_bytes(), _IMAGES.get(path.suffix.lower(), "application/octet-stream")
    except OSError as error:
        raise document.fail(f"refers to {name[:80]!r}, which cannot be read ({error.strerror})") from error


def _data_uri(data: bytes | bytearray, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"
