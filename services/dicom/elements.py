"""One walk over an encoded data set (PS3.5 7): which element lies where, without reading any value.

The tree of `Element`s holds offsets into the caller's bytes, so that a 5 GB object costs no more than its headers.
What many real files get wrong without losing a byte is read as it was meant: another VR encoding than declared,
implicit items in an explicit data set, stray delimiters. What loses bytes raises `Broken`.
"""

from enum import StrEnum
from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple

from pydicom.datadict import dictionary_VR, private_dictionary_VR

UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_DELIMITATION: Final = 0xFFFEE00D
SEQUENCE_DELIMITATION: Final = 0xFFFEE0DD

_MAX_DEPTH: Final = 64
_MAX_ELEMENTS: Final = 2_000_000
_LONG_FORM: Final = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
_VRS: Final = {
    vr: vr.decode()
    for vr in (
        *_LONG_FORM,
        *(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()),
    )
}
_SHORT_FORM: Final = {raw: vr for raw, vr in _VRS.items() if raw not in _LONG_FORM}


class Fault(StrEnum):
    """Why a data set cannot be walked to its end."""

    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"


class Broken(Exception):
    """The data set ends early, contradicts itself, or is unreasonably large."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault


class Element(NamedTuple):
    """One data element.

    Attributes:
        tag: group and element as one number.
        vr: two letters as read, or by PS3.6 (`US or SS` and the like are still open).
        start: offset of the element itself.
        offset: offset of its value.
        length: bytes of its value; of an encapsulated one, up to its sequence delimiter.
        items: of a sequence, the elements of each item.
        fragments: of encapsulated data, (offset, length) of each fragment; the first is the Basic Offset Table.
        little: the value is little endian.
    """

    tag: int
    vr: str
    start: int
    offset: int
    length: int
    items: "list[list[Element]] | None"
    fragments: list[tuple[int, int]] | None
    little: bool


@lru_cache(maxsize=16384)
def standard_vr(tag: int) -> str | None:
    """Gives the VR of a standard attribute in PS3.6, with its alternatives; None when PS3.6 has no such tag."""
    if tag & 0xFFFF == 0:
        return "UL"
    try:
        return dictionary_VR(tag)
    except KeyError:
        return None


@lru_cache(maxsize=16384)
def _private_vr(tag: int, creator: str) -> str:
    try:
        return private_dictionary_VR(tag, creator)
    except KeyError:
        return "UN"


class Walker:
    """Walks the data set in `data[start:end]`.

    Args:
        data: the bytes; offsets of elements count from its beginning.
        explicit: the transfer syntax writes the VR of each element.
        big_endian: its numbers are big endian.
    """

    def __init__(self, data: memoryview, *, explicit: bool, big_endian: bool) -> None:
        self._data = data
        self._explicit = explicit
        self._elements_left = _MAX_ELEMENTS
        self.oddities: set[str] = set()
        """What was read in spite of the standard: `vr-encoding`, `stray-delimiter`."""
        self._little = not big_endian
        order = ">" if big_endian else "<"
        self._common = Struct(f"{order}HH2sH").unpack_from
        self._long = Struct(f"{order}HHL").unpack_from
        self._short = Struct(f"{order}H").unpack_from
        self._word = Struct(f"{order}L").unpack_from
        self._pair = Struct(f"{order}HH").unpack_from

    def walk(self, start: int, end: int) -> list[Element]:
        """Reads the whole data set.

        Raises:
            Broken: it cannot be read to its end.
        """
        explicit = self._looks_explicit(start, end)
        if explicit is not self._explicit:
            self.oddities.add("vr-encoding")
        found, _ = self._elements(start, end, explicit, depth=0, delimited=False)
        return found

    def _looks_explicit(self, position: int, end: int) -> bool:
        # An implicit length whose middle bytes are two capital letters is a first element of more than 16 kB.
        if position + 6 > end:
            return self._explicit
        first, second = self._data[position + 4], self._data[position + 5]
        return 0x41 <= first <= 0x5A and 0x41 <= second <= 0x5A

    def _elements(
        self, position: int, end: int, explicit: bool, *, depth: int, delimited: bool
    ) -> tuple[list[Element], int]:
        """Reads elements until `end`, or an item delimiter when `delimited`; gives them and where it stopped."""
        if depth > _MAX_DEPTH:
            raise Broken(Fault.TOO_LARGE)
        found: list[Element] = []
        creators: dict[int, str] = {}
        data, little, common = self._data, self._little, self._common
        while position < end:
            if end - position < 8:
                if any(data[position:end]):
                    raise Broken(Fault.TRUNCATED)
                break  # a few zero bytes after the last element
            if explicit:
                # Nearly all elements are as simple as this, so they are read here without a call.
                group, number, raw, length = common(data, position)
                vr = _SHORT_FORM.get(raw)
                if vr is not None and (group & 1 == 0 or number > 0xFF) and group != 0xFFFE:
                    stop = position + 8 + length
                    if stop > end:
                        raise Broken(Fault.TRUNCATED)
                    found.append(Element(group << 16 | number, vr, position, position + 8, length, None, None, little))
                    position = stop
                    continue
            element, position = self._element(position, end, explicit, creators, depth)
            if element is None:
                if delimited:
                    return self._counted(found), position
                self.oddities.add("stray-delimiter")
                continue
            found.append(element)
        if delimited:
            raise Broken(Fault.TRUNCATED)
        return self._counted(found), position

    def _counted(self, found: list[Element]) -> list[Element]:
        self._elements_left -= len(found) + 1
        if self._elements_left < 0:
            raise Broken(Fault.TOO_LARGE)
        return found

    def _element(
        self, start: int, end: int, explicit: bool, creators: dict[int, str], depth: int
    ) -> tuple[Element | None, int]:
        """Reads the element at `start`; None is a delimiter. Gives also where the next one is."""
        tag, vr, length, offset = self._header(start, end, explicit)
        if tag >> 16 == 0xFFFE:
            if tag == ITEM or length not in (0, UNDEFINED):
                raise Broken(Fault.MALFORMED)
            return None, start + 8
        vr = self._settle_vr(tag, vr, length, creators)
        items: list[list[Element]] | None = None
        fragments: list[tuple[int, int]] | None = None
        undefined = length == UNDEFINED
        stop = end if undefined else offset + length
        if stop > end:
            raise Broken(Fault.TRUNCATED)
        if vr == "SQ":
            items, stop = self._items(offset, stop, explicit, depth, delimited=undefined)
        elif undefined:
            if not vr.startswith("O"):
                raise Broken(Fault.MALFORMED)
            fragments, stop = self._fragments(offset, end)
        elif tag >> 16 & 1 and 0x10 <= tag & 0xFFFF <= 0xFF:
            creators[tag & 0xFF] = bytes(self._data[offset:stop]).decode("latin_1").strip(" \0")
        value_end = stop - 8 if undefined else stop  # a sequence delimiter is no part of the value
        return Element(tag, vr, start, offset, value_end - offset, items, fragments, self._little), stop

    def _header(self, start: int, end: int, explicit: bool) -> tuple[int, str, int, int]:
        """Reads tag, VR ("" where none is written), length, and where the value begins (PS3.5 7.1)."""
        group, number, length = self._long(self._data, start)
        tag = group << 16 | number
        if not explicit or group == 0xFFFE:
            return tag, "", length, start + 8
        raw = bytes(self._data[start + 4 : start + 6])
        if raw in _LONG_FORM:
            if start + 12 > end:
                raise Broken(Fault.TRUNCATED)
            return tag, _VRS[raw], self._word(self._data, start + 8)[0], start + 12
        if raw in _VRS:
            return tag, _VRS[raw], self._short(self._data, start + 6)[0], start + 8
        if raw.isalpha() and raw.isupper():
            # A VR that we do not know: two bytes of length, as all the older ones have.
            self.oddities.add("unknown-vr")
            return tag, "UN", self._short(self._data, start + 6)[0], start + 8
        self.oddities.add("vr-encoding")  # this one element is written without a VR
        return tag, "", length, start + 8

    def _settle_vr(self, tag: int, vr: str, length: int, creators: dict[int, str]) -> str:
        """Gives the VR where none was written, or where UN was written and we know better (PS3.5 6.2.2)."""
        if vr not in ("", "UN"):
            return vr
        written = vr == "UN"
        if tag >> 16 & 1:
            if 0x10 <= tag & 0xFFFF <= 0xFF:
                return "LO"
            known: str | None = "UN" if written else _private_vr(tag, creators.get(tag >> 8 & 0xFF, ""))
        else:
            known = standard_vr(tag)
        if length == UNDEFINED and known in (None, "UN"):
            return "SQ"
        if written and not self._little:
            return "UN"  # its value is little endian, unlike all around it
        return known or "UN"

    def _fragments(self, position: int, end: int) -> tuple[list[tuple[int, int]], int]:
        """Gives (offset, length) of each fragment, and the end of the sequence delimiter (PS3.5 A.4)."""
        found: list[tuple[int, int]] = []
        while True:
            if position + 8 > end:
                raise Broken(Fault.TRUNCATED)
            group, number, length = self._long(self._data, position)
            position += 8
            tag = group << 16 | number
            if tag == SEQUENCE_DELIMITATION:
                return found, position
            if tag != ITEM:
                raise Broken(Fault.MALFORMED)
            if position + length > end:
                raise Broken(Fault.TRUNCATED)
            found.append((position, length))
            position += length

    def _items(
        self, position: int, end: int, explicit: bool, depth: int, *, delimited: bool
    ) -> tuple[list[list[Element]], int]:
        """Reads the items of a sequence (PS3.5 7.5)."""
        items: list[list[Element]] = []
        while position < end:
            if position + 8 > end:
                raise Broken(Fault.TRUNCATED if delimited else Fault.MALFORMED)
            group, number, length = self._long(self._data, position)
            tag = group << 16 | number
            position += 8
            if tag == SEQUENCE_DELIMITATION:
                if delimited:
                    return items, position
                self.oddities.add("stray-delimiter")
                continue
            if tag != ITEM:
                raise Broken(Fault.MALFORMED)
            undefined = length == UNDEFINED
            stop = end if undefined else position + length
            if stop > end:
                raise Broken(Fault.TRUNCATED if delimited else Fault.MALFORMED)
            written = explicit and self._item_is_explicit(position, stop)
            elements, position = self._elements(position, stop, written, depth=depth + 1, delimited=undefined)
            items.append(elements)
        if delimited:
            raise Broken(Fault.TRUNCATED)
        return items, position

    def _item_is_explicit(self, position: int, end: int) -> bool:
        # The items of a UN sequence are implicit (PS3.5 6.2.2 Note 4), and some writers do it in any sequence.
        if end - position < 8 or self._pair(self._data, position)[0] == 0xFFFE:
            return True
        return self._looks_explicit(position, end)
