"""PS3.10 files as raw elements: tags, VRs and the bytes between, never decoded, never more than asked for.

A reader of our own, because what leaves must be what was looked at: no text is decoded (so nothing can be quoted in a
warning), every length is checked, and whatever does not parse is refused or removed, never copied.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from mmap import mmap
from typing import NamedTuple

from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from services.anonymise.engine.attributes import LONG_LENGTH, VRS
from services.anonymise.errors import Reason, RefusedError

PIXEL_DATA = 0x7FE00010
PIXELS = frozenset((0x7FE00008, 0x7FE00009, PIXEL_DATA))
"""Float Pixel Data, Double Float Pixel Data, Pixel Data: an instance has one of them."""
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
UNDEFINED = 0xFFFFFFFF
_DEEPEST = 32
_INFLATED_MOST = 2**31
_ZEROS = bytes(8)
_COPIED_MOST = 2**16
_TAG = {order: struct.Struct(order + "HH").unpack_from for order in "<>"}
_SHORT = {order: struct.Struct(order + "H").unpack_from for order in "<>"}
_LONG = {order: struct.Struct(order + "L").unpack_from for order in "<>"}
_VR_BYTES = {vr.encode(): vr for vr in VRS}
_NEWER = frozenset(("1.2.840.10008.1.2.8.1",))
"""Deflated Image Frame Compression: younger than pydicom's register."""
_JPIP = ("1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.204", "1.2.840.10008.1.2.4.205")


Data = bytes | mmap
"""A file in memory or mapped into it: of a mapped one, pixels are read when they are written, and not before."""


class Coding(NamedTuple):
    """How a span of bytes is coded."""

    explicit: bool
    order: str  # "<" or ">"


IMPLICIT = Coding(False, "<")


class Element(NamedTuple):
    """One data element.

    Attributes:
        vr: as written in the file, or empty (Implicit VR, or no VR of the standard).
        value: the raw bytes; of encapsulated pixel data the whole run of fragments.
        items: the items of a sequence of undefined length, parsed already because only parsing finds its end.
        coding: of the bytes in `value`.
    """

    tag: int
    vr: str
    value: bytes | memoryview
    items: list[list[Element]] | None
    coding: Coding
    undefined: bool = False


@dataclass(frozen=True, slots=True)
class File:
    """A PS3.10 file."""

    sop_class_uid: str
    transfer_syntax: UID
    coding: Coding
    elements: list[Element]


class _MalformedError(Exception):
    """The bytes are no elements."""


def read_file(data: Data) -> File:
    """The elements of a PS3.10 file; preamble and file meta information are read past.

    Raises:
        RefusedError: `unreadable`, `too-large` or `transfer-syntax-not-cleanable`.
    """
    if data[128:132] != b"DICM":
        raise RefusedError(Reason.UNREADABLE)
    try:
        start, meta = _file_meta(data)
        syntax = UID(_ascii(meta.get(0x00020010, b"")))
        coding = _coding(syntax)
        if syntax == DeflatedExplicitVRLittleEndian:
            data, start = _inflate(data[start:]), 0
        elements, _ = _Reader(data).elements(start, len(data), coding)
    except _MalformedError:
        raise RefusedError(Reason.UNREADABLE) from None
    return File(_ascii(meta.get(0x00020002, b"")), syntax, coding, elements)


def items_of(element: Element) -> list[list[Element]] | None:
    """The items of a sequence, or None when its bytes are no items."""
    if element.items is not None:
        return element.items
    value = bytes(element.value)
    # PS3.5 6.2.2: a sequence under VR UN is in Implicit VR Little Endian whatever the file is.
    coding = IMPLICIT if element.vr == "UN" else element.coding
    try:
        items, _ = _Reader(value).items(0, len(value), coding)
    except (_MalformedError, RefusedError):
        return None
    return items


def is_encapsulated(syntax: UID) -> bool:
    """Whether Pixel Data is a run of fragments (PS3.5 A.4)."""
    return syntax in _NEWER or syntax.is_encapsulated


def _file_meta(data: Data) -> tuple[int, dict[int, bytes]]:
    found: dict[int, bytes] = {}
    position = 132
    # By group, not by the group length, which is wrong in enough files.
    while data[position : position + 2] == b"\x02\x00":
        element, position = _Reader(data).element(position, len(data), Coding(True, "<"), 0)
        found[element.tag] = bytes(element.value)
    return position, found


def _coding(syntax: UID) -> Coding:
    if syntax in _NEWER:
        return Coding(True, "<")
    if not syntax.is_transfer_syntax or syntax.is_private or syntax in _JPIP or ".1.2.4.10" in syntax:
        # .4.100 to .4.108 are video: hours of pixels, and sound.
        raise RefusedError(Reason.TRANSFER_SYNTAX)
    return Coding(not syntax.is_implicit_VR, "<" if syntax.is_little_endian else ">")


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, _INFLATED_MOST)
    except zlib.error:
        raise _MalformedError from None
    if inflater.unconsumed_tail:
        raise RefusedError(Reason.TOO_LARGE)
    if not inflater.eof:
        raise _MalformedError
    return inflated


class _Reader:
    """Reads elements from one buffer. Every method gives where it stopped, too."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def elements(self, position: int, end: int, coding: Coding, depth: int = 0) -> tuple[list[Element], int]:
        """All elements up to `end`."""
        elements: list[Element] = []
        while position < end:
            if depth == 0 and self._data[position : position + 8] in _ZEROS and self._is_zero(position, end):
                break  # some writers fill up with zeros, megabytes of them
            element, position = self.element(position, end, coding, depth)
            elements.append(element)
        return elements, end

    def _is_zero(self, position: int, end: int) -> bool:
        return self._data[position:end].count(0) == end - position

    def items(self, position: int, end: int, coding: Coding) -> tuple[list[list[Element]], int]:
        """All items up to `end`."""
        return self._items(position, end, coding, 1, to_end=True)

    def element(self, position: int, end: int, coding: Coding, depth: int) -> tuple[Element, int]:
        """The element at `position`."""
        data = self._data
        if end - position < 8:
            raise _MalformedError
        tag = _tag(data, position, coding)
        if tag >> 16 == 0xFFFE:
            raise _MalformedError
        vr = ""
        if coding.explicit:
            code = data[position + 4 : position + 6]
            vr = _VR_BYTES.get(code, "")
            if not vr:
                if code.isupper():  # a VR that the standard does not have: its length field cannot be told
                    raise _MalformedError
                coding = Coding(False, coding.order)  # some writers fall into Implicit VR within a sequence
        if not vr:
            (length,), position = _LONG[coding.order](data, position + 4), position + 8
        elif vr in LONG_LENGTH:
            if end - position < 12:
                raise _MalformedError
            (length,), position = _LONG[coding.order](data, position + 8), position + 12
        else:
            (length,), position = _SHORT[coding.order](data, position + 6), position + 8
        if length == UNDEFINED:
            return self._undefined(position, end, Element(tag, vr, b"", None, coding, True), depth)
        stop = position + length
        if stop > end:
            raise _MalformedError
        value = data[position:stop] if length < _COPIED_MOST else memoryview(data)[position:stop]
        return Element(tag, vr, value, None, coding), stop

    def _undefined(self, position: int, end: int, element: Element, depth: int) -> tuple[Element, int]:
        if element.tag in PIXELS or element.vr in ("OB", "OW"):
            stop = self._fragments(position, end, element.coding)
            return element._replace(value=memoryview(self._data)[position : stop - 8]), stop
        coding = IMPLICIT if element.vr == "UN" else element.coding
        items, stop = self._items(position, end, coding, depth + 1, to_end=False)
        return element._replace(items=items, coding=coding), stop

    def _fragments(self, position: int, end: int, coding: Coding) -> int:
        """Where encapsulated pixel data ends, its delimiter included (PS3.5 A.4)."""
        while end - position >= 8:
            tag, (length,) = _tag(self._data, position, coding), _LONG[coding.order](self._data, position + 4)
            position += 8
            if tag == SEQUENCE_END:
                return position
            if tag != ITEM or length == UNDEFINED:
                raise _MalformedError
            position += length
        raise _MalformedError

    def _items(
        self, position: int, end: int, coding: Coding, depth: int, *, to_end: bool
    ) -> tuple[list[list[Element]], int]:
        if depth > _DEEPEST:
            raise RefusedError(Reason.TOO_LARGE)
        items: list[list[Element]] = []
        while position < end:
            if end - position < 8:
                raise _MalformedError
            tag, (length,) = _tag(self._data, position, coding), _LONG[coding.order](self._data, position + 4)
            position += 8
            if tag == SEQUENCE_END:
                return items, position
            if tag != ITEM:
                raise _MalformedError
            if length == UNDEFINED:
                item, position = self._open_item(position, end, coding, depth)
            elif length > end - position:
                raise _MalformedError
            else:
                item, position = self.elements(position, position + length, coding, depth)
            items.append(item)
        if not to_end:
            raise _MalformedError
        return items, position

    def _open_item(self, position: int, end: int, coding: Coding, depth: int) -> tuple[list[Element], int]:
        """An item of undefined length, up to its delimiter."""
        elements: list[Element] = []
        while end - position >= 8:
            if _tag(self._data, position, coding) == ITEM_END:
                return elements, position + 8
            element, position = self.element(position, end, coding, depth)
            elements.append(element)
        raise _MalformedError


def _tag(data: Data, position: int, coding: Coding) -> int:
    group, number = _TAG[coding.order](data, position)
    return int(group) << 16 | int(number)


def _ascii(value: bytes) -> str:
    return value.rstrip(b"\0 ").decode("ascii", "replace")
