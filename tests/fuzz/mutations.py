"""Damaged inputs: hypothesis strategies that change a seed's bytes, values, arrays or protobuf fields."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from google.protobuf.message import DecodeError, Message
from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]
Edit = Callable[[Draw, bytes], bytes]


@dataclass(frozen=True, slots=True)
class Seed:
    """A sound input: what damage starts from."""

    name: str
    """File name; its ending says what may be changed besides plain bytes."""

    data: bytes
    message: type[Message] | None = None
    """The protobuf message that the data encodes, where it is one."""


NUMBERS = (
    0,
    1,
    2,
    7,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    1 << 40,
    (1 << 64) - 1,
)
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 1e308, -1e308, 0.5, 2**31, 2**53, 2**63, -(2**63), 10**30, 10**400, float("nan"),
    float("inf"), "", "x", "../../../etc/passwd", "/etc/passwd", "a\0b", "\ud800", "é" * 300, [], {}, [[]], [{}],
    {"": 1}, [0] * 40, ["a", "a"], "1", "jawOpen", "joy",
)  # fmt: skip
NAMES = ("", "x", "a\0b", "neutral", "../x", "jawOpen", "é" * 200)


def damaged(seeds: Sequence[Seed], tokens: Sequence[bytes]) -> st.SearchStrategy[tuple[str, bytes]]:
    """A seed's name and its data after one to five changes."""

    @st.composite
    def cases(draw: Draw) -> tuple[str, bytes]:
        seed = draw(st.sampled_from(list(seeds)))
        others = [other.data for other in seeds]
        data = seed.data
        edit: Edit = lambda d, b: _bytes_edit(d, b, tokens, others)  # noqa: E731
        # Damage to bytes rarely gets past the first check of a format with structure, so most changes keep it.
        if (structure := _structure_edit(seed)) is not None and draw(st.integers(0, 3)):
            edit = structure
        for _ in range(draw(st.integers(1, 4))):
            data = edit(draw, data)
        return seed.name, data

    return cases()


def _structure_edit(seed: Seed) -> Edit | None:
    if seed.message is not None:
        message = seed.message
        return lambda draw, data: _message_edit(draw, data, message)
    ending = seed.name.rpartition(".")[2]
    return {"json": _json_edit, "yaml": _yaml_edit, "npz": _archive_edit}.get(ending)


def _bytes_edit(draw: Draw, data: bytes, tokens: Sequence[bytes], others: Sequence[bytes]) -> bytes:
    token: bytes
    other: bytes
    noise: bytes
    # Headers decide what a parser does, so half of the changes fall into the first bytes.
    near = draw(st.booleans())
    at = int(draw(st.integers(0, min(len(data), 128) if near else len(data))))
    kind = draw(st.sampled_from(["number", "flip", "token", "delete", "repeat", "cut", "noise", "splice"]))
    if kind == "number":
        width, order = int(draw(st.sampled_from([1, 2, 4, 8]))), draw(st.sampled_from(["little", "big"]))
        number = int(draw(st.sampled_from(NUMBERS))) & ((1 << 8 * width) - 1)
        return data[:at] + number.to_bytes(width, order) + data[at + width :]
    if kind == "flip" and at < len(data):
        return data[:at] + bytes([data[at] ^ 1 << draw(st.integers(0, 7))]) + data[at + 1 :]
    if kind == "token" and tokens:
        token = draw(st.sampled_from(list(tokens)))
        return data[:at] + token + data[at + int(draw(st.sampled_from([0, 1, 4]))) :]
    length = int(draw(st.sampled_from([1, 2, 4, 16, 200])))
    if kind == "repeat":
        return data[:at] + data[at : at + length] * int(draw(st.integers(2, 9))) + data[at + length :]
    if kind == "cut":
        return data[:at]
    if kind == "noise":
        noise = draw(st.binary(max_size=16))
        return data[:at] + noise + data[at + length :]
    if kind == "splice":
        other = draw(st.sampled_from(list(others)))
        return data[:at] + other[draw(st.integers(0, len(other))) :]
    return data[:at] + data[at + length :]


def _json_edit(draw: Draw, data: bytes) -> bytes:
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return data
    if draw(st.integers(0, 19)) == 0:
        return b"[" * int(draw(st.sampled_from([70, 900, 3000, 100_000]))) + data
    return json.dumps(_value_edit(draw, document)).encode("utf-8", "surrogatepass")


def _yaml_edit(draw: Draw, data: bytes) -> bytes:
    try:
        document = yaml.safe_load(data)
        return yaml.safe_dump(_value_edit(draw, document), allow_unicode=True).encode("utf-8", "surrogatepass")
    except Exception:  # What the damage so far has made unreadable stays as it is.
        return data


def _value_edit(draw: Draw, document: Any) -> Any:
    """The document with one value replaced, dropped or repeated."""
    places = list(_places(document))
    if not places:
        return draw(st.sampled_from(VALUES))
    inside, key = draw(st.sampled_from(places))
    kind = draw(st.sampled_from(["replace", "replace", "drop", "repeat", "rename"]))
    if kind == "drop":
        del inside[key]
    elif kind == "repeat" and isinstance(inside, list):
        inside.insert(key, inside[key])
    elif kind == "rename" and isinstance(inside, dict):
        inside[draw(st.sampled_from(NAMES))] = inside.pop(key)
    else:
        inside[key] = draw(st.sampled_from(VALUES))
    return document


def _places(value: Any) -> Any:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield value, key
        yield from _places(inner)


def npy(descr: str, shape: str, data: bytes = b"") -> bytes:
    """An array file with any header."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


ARRAYS: tuple[bytes, ...] = (
    b"", b"\x93NUMPY", b"\x93NUMPY\x09\x00", npy("'<f4'", "()", bytes(4)), npy("'<f4'", "(0,)"),
    npy("'<f4'", "(1099511627776,)"), npy("'<f4'", "(-1,)"), npy("'<f8'", f"({'9' * 30},)"),
    npy("'|O'", "(1,)", b"\x80"),
    npy("'<U1000000000'", "(1,)"), npy("[('a', '<f4')]", "(1,)", bytes(4)), npy("'<M8[s]'", "(1,)", bytes(8)),
    npy("'<c8'", "(1,)", bytes(8)), npy("'<f4'", "(1,)*1000"), npy("'<f4'", "(" + "1," * 70 + ")", bytes(4)),
    npy("'<i8'", "(2,)", b"\xff" * 16), npy("'<f8'", "(2,)", b"\xff" * 16), npy("'|S5'", "(2,)", b"\xff" * 10),
    npy("'<f4'", "(3, 3)", bytes(36)), b"raw bytes", npy("'|V8'", "(2,)", bytes(16)), npy("'|b1'", "(2,)", b"\2\3"),
    npy("__import__('os')", "(1,)"), npy("'<f4'", "(" * 90), npy("'<U4'", "(1,)", b"\xff" * 16),
    npy("'<f4'", "(-1, -1)", bytes(4)),
)  # fmt: skip


def _archive_edit(draw: Draw, data: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(member.filename, archive.read(member)) for member in archive.infolist()]
    except Exception:  # What the damage so far has made unreadable stays as it is.
        return data
    if not members:
        return data
    index = draw(st.integers(0, len(members) - 1))
    name, content = members[index]
    kind = draw(st.sampled_from(["array", "array", "bytes", "drop", "rename", "twice", "zeros"]))
    if kind == "array":
        members[index] = name, draw(st.sampled_from(ARRAYS))
    elif kind == "bytes":
        members[index] = name, _bytes_edit(draw, content, (b"<f8", b">i4", b"|O", b"<U9", b"(9,9)", b"True"), ARRAYS)
    elif kind == "drop":
        del members[index]
    elif kind == "rename":
        members[index] = draw(st.sampled_from(["x", "../x.npy", "", "neutral.npy", "weights.npy"])), content
    elif kind == "zeros":
        members[index] = name, npy("'<f4'", "(4000000,)", bytes(16_000_000))
    target = io.BytesIO()
    packing = zipfile.ZIP_DEFLATED if kind == "zeros" or draw(st.booleans()) else zipfile.ZIP_STORED
    with zipfile.ZipFile(target, "w", packing) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about names that stand twice
        for place, (member, content) in enumerate(members):
            for _ in range(2 if kind == "twice" and place == index and member else 1):
                archive.writestr(zipfile.ZipInfo(member), content, packing)
    return target.getvalue()


def _message_edit(draw: Draw, data: bytes, kind: type[Message]) -> bytes:
    try:
        message = kind.FromString(data)
    except DecodeError:
        return data
    _set_field(draw, message)
    return message.SerializeToString()


def _set_field(draw: Draw, message: Any) -> None:
    fields = message.DESCRIPTOR.fields
    if not fields:
        return
    field = draw(st.sampled_from(list(fields)))
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        entry = field.message_type.fields_by_name["value"]
        key = draw(st.sampled_from(["joy", "Anger", "JawOpen", "skinStrength", "x", "", "é" * 90]))
        if entry.message_type is None:
            getattr(message, field.name)[key] = _scalar(draw, entry)
    elif field.message_type is not None:
        inner = getattr(message, field.name)
        if field.is_repeated:
            inner = inner[0] if len(inner) and draw(st.booleans()) else inner.add()
        else:
            inner.SetInParent()
        _set_field(draw, inner)
    elif field.is_repeated:
        getattr(message, field.name).extend([_scalar(draw, field)] * draw(st.sampled_from([1, 3, 100])))
    else:
        setattr(message, field.name, _scalar(draw, field))


def _scalar(draw: Draw, field: Any) -> Any:
    kinds: dict[int, Sequence[Any]] = {
        field.CPPTYPE_DOUBLE: (0.0, -1.0, 1e300, float("nan"), float("inf"), 0.04, 5e-324, 1e12),
        field.CPPTYPE_FLOAT: (0.0, -1.0, 3e38, float("nan"), float("-inf"), 0.5, 1e-45),
        field.CPPTYPE_INT32: (0, -1, 2**31 - 1, -(2**31), 3),
        field.CPPTYPE_UINT32: (0, 1, 2**32 - 1, 999, 144001),
        field.CPPTYPE_INT64: (0, -1, 2**63 - 1, -(2**63)),
        field.CPPTYPE_UINT64: (0, 2**64 - 1),
        field.CPPTYPE_ENUM: (0, 1, 2, 3, 2**31 - 1),
        field.CPPTYPE_BOOL: (False, True),
    }
    if field.cpp_type == field.CPPTYPE_STRING:
        odd = ("", "x", "a\0b", "é" * 300, "../../x")
        return draw(
            st.sampled_from(odd if field.type == field.TYPE_STRING else (b"", b"\0", bytes(320), b"\xff\x7f" * 99))
        )
    return draw(st.sampled_from(kinds[field.cpp_type]))
