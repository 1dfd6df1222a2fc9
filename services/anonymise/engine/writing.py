"""Data elements as bytes, always in Explicit VR: only what is handed in here can stand in a file that leaves."""

from __future__ import annotations

import struct

from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

from services.anonymise.engine.attributes import LONG_LENGTH
from services.anonymise.engine.elements import ITEM, PIXEL_DATA, SEQUENCE_END, UNDEFINED, is_encapsulated

IMPLEMENTATION_CLASS_UID = "2.25.94171246317286231120718473158216512331"
IMPLEMENTATION_VERSION_NAME = "PLEXUS_0_1"
_NUL_PADDED = frozenset(("OB", "UI", "UN"))
_HEAD_MOST = 0xFFFE


class Writer:
    """Writes elements of one byte order."""

    def __init__(self, order: str) -> None:
        self._short = struct.Struct(order + "HH2sH").pack
        self._long = struct.Struct(order + "HH2sHL").pack
        self._item = struct.Struct(order + "HHL").pack
        self.number = struct.Struct(order + "H").pack
        """A US value."""

    def element(self, tag: int, vr: str, value: bytes) -> bytes:
        """One element, its value padded to even length (PS3.5 7.1.1).

        Raises:
            ValueError: the value is too long for its VR.
        """
        if len(value) % 2:
            value += b"\0" if vr in _NUL_PADDED else b" "
        return self._head(tag, vr, len(value)) + value

    def sequence(self, tag: int, items: list[bytes]) -> bytes:
        """A sequence of written items, all of defined length."""
        body = b"".join(self._item(ITEM >> 16, ITEM & 0xFFFF, len(item)) + item for item in items)
        return self._head(tag, "SQ", len(body)) + body

    def native_pixels(self, tag: int, vr: str, value: bytes | memoryview) -> tuple[bytes | memoryview, ...]:
        """Pixels as they are, without a copy."""
        pad = b"\0" if len(value) % 2 else b""
        return self._head(tag, vr, len(value) + len(pad)), value, pad

    def encapsulated_pixels(self, fragments: bytes | memoryview) -> tuple[bytes | memoryview, ...]:
        """Encapsulated Pixel Data (PS3.5 A.4): the items as they are, without a copy."""
        end = self._item(SEQUENCE_END >> 16, SEQUENCE_END & 0xFFFF, 0)
        return self._head(PIXEL_DATA, "OB", UNDEFINED), fragments, end

    def _head(self, tag: int, vr: str, length: int) -> bytes:
        if vr in LONG_LENGTH:
            return self._long(tag >> 16, tag & 0xFFFF, vr.encode(), 0, length)
        if length > _HEAD_MOST:
            raise ValueError("too long for its VR")
        return self._short(tag >> 16, tag & 0xFFFF, vr.encode(), length)


def file_head(*, sop_class_uid: str, sop_instance_uid: str, transfer_syntax: str) -> bytes:
    """An empty preamble and new File Meta Information (PS3.10 7.1): nothing of the old file is in it."""
    write = Writer("<").element
    body = b"".join(
        (
            write(0x00020001, "OB", b"\0\1"),
            write(0x00020002, "UI", sop_class_uid.encode()),
            write(0x00020003, "UI", sop_instance_uid.encode()),
            write(0x00020010, "UI", transfer_syntax.encode()),
            write(0x00020012, "UI", IMPLEMENTATION_CLASS_UID.encode()),
            write(0x00020013, "SH", IMPLEMENTATION_VERSION_NAME.encode()),
        )
    )
    return bytes(128) + b"DICM" + write(0x00020000, "UL", struct.pack("<L", len(body))) + body


def written_syntax(read: UID) -> UID:
    """The transfer syntax in which an instance leaves: the one it came in, if that is Explicit VR.

    Implicit VR and Deflated become Explicit VR Little Endian: the bytes of the pixels are the same.
    """
    if is_encapsulated(read) or read == ExplicitVRBigEndian:
        return read
    return ExplicitVRLittleEndian
