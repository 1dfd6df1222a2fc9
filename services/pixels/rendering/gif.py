"""A moving GIF (GIF89a) put together of still ones, a frame at a time, so that a loop of any length needs no memory."""

from __future__ import annotations

import struct
from typing import Final

END: Final = b"\x3b"
_HEADER_BYTES: Final = 13
_IMAGE, _EXTENSION = 0x2C, 0x21
_HAS_TABLE: Final = 0x80


def head(width: int, height: int) -> bytes:
    """Give what comes before the first frame: the size of the screen, and that the loop goes round for ever."""
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"


def size(still: bytes) -> tuple[int, int]:
    """Give width and height of a still GIF."""
    width, height = struct.unpack_from("<HH", still, 6)
    return width, height


def frame(still: bytes, milliseconds: float) -> bytes:
    """Give the frame of a still GIF, with its own colour table, shown for so long."""
    table = b""
    position = _HEADER_BYTES
    bits = still[10]
    if bits & _HAS_TABLE:
        table = still[position : position + 3 * 2 ** ((bits & 7) + 1)]
        position += len(table)
    while still[position] == _EXTENSION:
        position = _after_blocks(still, position + 2)
    if still[position] != _IMAGE:
        raise ValueError("not a still GIF")
    place, flags = still[position + 1 : position + 9], still[position + 9]
    position += 10
    if not flags & _HAS_TABLE:
        flags |= _HAS_TABLE | bits & 7
    else:
        table = still[position : position + 3 * 2 ** ((flags & 7) + 1)]
        position += len(table)
    content = still[position : _after_blocks(still, position + 1)]
    hundredths = min(max(round(milliseconds / 10), 2), 0xFFFF)  # browsers take less for a mistake
    control = b"\x21\xf9\x04" + struct.pack("<BHBB", 4, hundredths, 0, 0)
    return control + bytes((_IMAGE,)) + place + bytes((flags,)) + table + content


def _after_blocks(data: bytes, position: int) -> int:
    """Pass sub-blocks over, up to and with the empty one."""
    while data[position]:
        position += data[position] + 1
    return position + 1
