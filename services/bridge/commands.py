"""Command sets as bytes, as far as C-STORE needs them: Implicit VR Little Endian, group 0000 (PS3.7 6.3.1, E.1)."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from services.bridge.errors import MalformedError

C_STORE_RQ: Final = 0x0001
C_STORE_RSP: Final = 0x8001
NO_DATA_SET: Final = 0x0101
"""Command Data Set Type: nothing follows the command set. Every other value says that a data set does."""

_GROUP_LENGTH, _SOP_CLASS, _FIELD, _MESSAGE_ID = 0x0000, 0x0002, 0x0100, 0x0110
_ANSWERED_ID, _DATA_SET_TYPE, _STATUS, _ERROR_COMMENT, _SOP_INSTANCE = 0x0120, 0x0800, 0x0900, 0x0902, 0x1000

P_DATA_TF: Final = 0x04
COMMAND, LAST = 0x01, 0x02
"""Bits of the message control header (PS3.8 E.2)."""
_OVERHEAD: Final = 6  # of a PDV: its length, presentation context ID and message control header


@dataclass(frozen=True, slots=True)
class StoreRequest:
    """A C-STORE-RQ (PS3.7 9.3.1.1)."""

    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    has_data_set: bool


def elements(command: bytes) -> dict[int, bytes]:
    """The values of a command set by element number.

    Raises:
        MalformedError: it is none.
    """
    found: dict[int, bytes] = {}
    at = 0
    while at < len(command):
        if len(command) - at < 8:
            raise MalformedError
        group, number, length = struct.unpack_from("<HHI", command, at)
        at += 8
        if group != 0 or length > len(command) - at:
            raise MalformedError
        found[number] = command[at : at + length]
        at += length
    return found


def field(found: Mapping[int, bytes]) -> int:
    """What a command set asks or answers: Command Field."""
    return _number(found, _FIELD)


def has_data_set(found: Mapping[int, bytes]) -> bool:
    """Whether a data set follows the command set."""
    return _number(found, _DATA_SET_TYPE) != NO_DATA_SET


def store_request(found: Mapping[int, bytes]) -> StoreRequest:
    """A C-STORE-RQ. That Priority is missing from some is overlooked.

    Raises:
        MalformedError: what has to be there is not.
    """
    return StoreRequest(
        _number(found, _MESSAGE_ID), _uid(found, _SOP_CLASS), _uid(found, _SOP_INSTANCE), has_data_set(found)
    )


def store_response(request: StoreRequest, status: int, comment: str = "") -> bytes:
    """The command set of a C-STORE-RSP (PS3.7 9.3.1.2)."""
    parts = [
        _element(_SOP_CLASS, _even(request.sop_class_uid, b"\0")),
        _element(_FIELD, struct.pack("<H", C_STORE_RSP)),
        _element(_ANSWERED_ID, struct.pack("<H", request.message_id)),
        _element(_DATA_SET_TYPE, struct.pack("<H", NO_DATA_SET)),
        _element(_STATUS, struct.pack("<H", status)),
        _element(_ERROR_COMMENT, _even(comment, b" ")) if comment else b"",
        _element(_SOP_INSTANCE, _even(request.sop_instance_uid, b"\0")),
    ]
    body = b"".join(parts)
    return _element(_GROUP_LENGTH, struct.pack("<I", len(body))) + body


def pdus(context_id: int, command: bytes, longest: int) -> Iterator[bytes]:
    """A command set as P-DATA-TF PDUs (PS3.8 9.3.5).

    Args:
        longest: what the peer takes (PS3.8 D.1); 0: any length.
    """
    size = max(longest - _OVERHEAD, 1) if longest else len(command)
    for at in range(0, len(command), size):
        part = command[at : at + size]
        control = COMMAND | (LAST if at + size >= len(command) else 0)
        yield struct.pack(">BxIIBB", P_DATA_TF, len(part) + _OVERHEAD, len(part) + 2, context_id, control) + part


def _number(found: Mapping[int, bytes], number: int) -> int:
    value = found.get(number, b"")
    if len(value) != 2:
        raise MalformedError
    return int.from_bytes(value, "little")


def _uid(found: Mapping[int, bytes], number: int) -> str:
    try:
        uid = found.get(number, b"").rstrip(b"\0 ").decode("ascii")
    except UnicodeDecodeError:
        raise MalformedError from None
    if not uid:
        raise MalformedError
    return uid


def _element(number: int, value: bytes) -> bytes:
    return struct.pack("<HHI", 0, number, len(value)) + value


def _even(text: str, padding: bytes) -> bytes:
    value = text.encode("ascii")
    return value + padding * (len(value) % 2)
