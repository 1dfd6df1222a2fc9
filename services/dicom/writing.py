"""From the DICOM JSON model to an encoded data set (PS3.18 F, PS3.5 7.1.2): the way back from `dicom_json`.

Explicit VR Little Endian, text in UTF-8. Bulk data is not looked at: the writer says where it goes, so that an instance
of any size can be put together piece by piece.
"""

import binascii
import math
import re
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct, error
from typing import Any, Final

from services.dicom.dicom_json import DicomJson
from services.dicom.encapsulation import END, element_head, encapsulated_head, item_head
from services.dicom.reasons import InstanceError, Reason
from services.dicom.values import BINARY

PIXEL_DATA: Final = "7FE00010"
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
_CHARACTER_SET: Final = "00080005"
_UTF_8: Final = {"vr": "CS", "Value": ["ISO_IR 192"]}
_OFFSET_TABLES: Final = ("7FE00001", "7FE00002")
_MAX_DEPTH: Final = 60
_MAX_SHORT: Final = 0xFFFE
_UNDEFINED: Final = 0xFFFFFFFF
_DECIMAL_CHARACTERS: Final = 16
_ITEM: Final = b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
_ITEM_END: Final = b"\xfe\xff\x0d\xe0\0\0\0\0"
_NUMBERS: Final = {
    "US": "<H",
    "SS": "<h",
    "UL": "<L",
    "SL": "<l",
    "UV": "<Q",
    "SV": "<q",
    "FL": "<f",
    "FD": "<d",
}
_CODES: Final = frozenset(("AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"))
_TEXTS: Final = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
_WHOLE: Final = frozenset(("LT", "ST", "UR", "UT"))
"""VRs of one value, in which a backslash is a character (PS3.5 6.2)."""
_LONG_FORM: Final = BINARY | {"SQ", "SV", "UC", "UR", "UT", "UV"}


@dataclass(frozen=True, slots=True)
class Bulk:
    """A place for bytes that are elsewhere: all of one part of the bulk data that the metadata calls `uri`."""

    uri: str
    part: int = 0


Lengths = Callable[[str], Sequence[int]]
"""How long the parts of bulk data are, by URI; none: there is no such bulk data."""


def bulk_uris(attributes: DicomJson) -> Iterator[str]:
    """Gives the BulkDataURIs of a data set and its items."""
    for element in attributes.values():
        if isinstance(element, dict):
            if isinstance(uri := element.get("BulkDataURI"), str):
                yield uri
            for item in element.get("Value") or ():
                if element.get("vr") == "SQ" and isinstance(item, dict):
                    yield from bulk_uris(item)


def encode(attributes: DicomJson, lengths: Lengths, *, encapsulated: bool = False) -> Iterator[bytes | Bulk]:
    """Writes a data set.

    Args:
        attributes: DICOM JSON. Group lengths and file meta information in it are passed over.
        lengths: of the bulk data.
        encapsulated: Pixel Data is compressed, each part of its bulk data one fragment.

    Yields:
        Bytes, and places for bulk data.

    Raises:
        InstanceError: it is no DICOM JSON, or names bulk data that is not there.
    """
    settled = dict(attributes)
    if _CHARACTER_SET in settled or not _is_ascii(attributes):
        settled[_CHARACTER_SET] = _UTF_8
    if encapsulated:
        for tag in _OFFSET_TABLES:
            settled.pop(tag, None)
    try:
        yield from _Writer(lengths, encapsulated=encapsulated).data_set(settled)
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError, error):
        raise InstanceError(Reason.MALFORMED) from None


class _Writer:
    def __init__(self, lengths: Lengths, *, encapsulated: bool) -> None:
        self._lengths = lengths
        self._encapsulated = encapsulated

    def data_set(self, attributes: DicomJson, depth: int = 0) -> Iterator[bytes | Bulk]:
        if depth > _MAX_DEPTH:
            raise InstanceError(Reason.TOO_LARGE)
        for name in sorted(attributes, key=str.upper):
            tag = _number(name)
            if tag >> 16 <= 0x0002 or tag & 0xFFFF == 0:
                continue  # they belong to the file, or to the encoding that it had
            if tag >> 16 == 0xFFFE:
                raise ValueError("no attribute")
            yield from self._element(tag, attributes[name], depth)

    def _element(self, tag: int, element: dict[str, Any], depth: int) -> Iterator[bytes | Bulk]:
        vr = element["vr"]
        if vr == "SQ":
            yield element_head(tag, vr, _UNDEFINED, explicit=True)
            for item in element.get("Value") or ():
                yield _ITEM
                items = item or {}
                if _CHARACTER_SET in items:
                    items = items | {_CHARACTER_SET: _UTF_8}
                yield from self.data_set(items, depth + 1)
                yield _ITEM_END
            yield END
        elif "BulkDataURI" in element:
            yield from self._bulk(tag, vr, element["BulkDataURI"], depth)
        else:
            value = _value(vr, element)
            yield _head(tag, vr, len(value)) + value

    def _bulk(self, tag: int, vr: str, uri: str, depth: int) -> Iterator[bytes | Bulk]:
        parts = self._lengths(uri)
        if not parts:
            raise InstanceError(Reason.BULK_DATA_MISSING)
        padding = [length % 2 for length in parts]
        if self._encapsulated and depth == 0 and f"{tag:08X}" == PIXEL_DATA:
            yield encapsulated_head([length + odd for length, odd in zip(parts, padding, strict=True)])
            for number, length in enumerate(parts):
                yield item_head(length + padding[number])
                yield Bulk(uri, number)
                yield bytes(padding[number])
            yield END
            return
        total = sum(parts)
        if total + total % 2 >= _UNDEFINED:
            raise InstanceError(Reason.TOO_LARGE)
        yield _head(tag, vr, total + total % 2)
        yield from (Bulk(uri, number) for number in range(len(parts)))
        yield (b" " if vr in _TEXTS | _CODES and vr != "UI" else b"\0") * (total % 2)


def _head(tag: int, vr: str, length: int) -> bytes:
    if vr not in _LONG_FORM and vr not in _CODES and vr not in _TEXTS and vr not in _NUMBERS and vr != "AT":
        raise ValueError("no VR")
    if vr in _LONG_FORM:
        return element_head(tag, vr, length, explicit=True)
    if length > _MAX_SHORT:
        return element_head(tag, "UN", length, explicit=True)  # PS3.5 6.2.2
    return element_head(tag, vr, length, explicit=True)[:6] + length.to_bytes(2, "little")


def _value(vr: str, element: dict[str, Any]) -> bytes:
    if "InlineBinary" in element:
        try:
            value = b64decode(element["InlineBinary"], validate=True)
        except binascii.Error:
            raise ValueError("no Base64") from None
        return value + bytes(len(value) % 2)
    values = element.get("Value") or ()
    if not isinstance(values, list | tuple) or (values and vr in BINARY):
        raise TypeError("no values")
    if not values:
        return b""
    if number := _NUMBERS.get(vr):
        return _numbers(number, values)
    if vr == "AT":
        return b"".join(_tag(value) for value in values)
    texts = [_text(vr, value) for value in values]
    if len(texts) > 1 if vr in _WHOLE else any("\\" in text for text in texts):
        raise ValueError("a value that would become several, or several where one can be")
    value = "\\".join(texts).encode("utf-8" if vr in _TEXTS else "ascii")
    return value + (b"\0" if vr == "UI" else b" ") * (len(value) % 2)


def _numbers(form: str, values: Sequence[Any]) -> bytes:
    pack = Struct(form).pack
    read = float if form in ("<f", "<d") else int
    if any(value is None or isinstance(value, bool) or (read is int and isinstance(value, float)) for value in values):
        raise ValueError("no number")
    return b"".join(pack(read(value)) for value in values)


def _tag(value: str) -> bytes:
    tag = _number(value)
    return (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")


def _number(tag: str) -> int:
    if not _TAG.fullmatch(tag):
        raise ValueError("no tag")
    return int(tag, 16)


def _text(vr: str, value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case dict() if vr == "PN":
            groups = [str(value.get(group) or "") for group in ("Alphabetic", "Ideographic", "Phonetic")]
            return "=".join(groups).rstrip("=")
        case bool():
            raise TypeError("no text")
        case int() | float() if vr == "DS":
            return _decimal(value)
        case int() if vr == "IS":
            return str(value)
        case float() if vr == "IS" and value.is_integer():
            return str(int(value))
        case _:
            raise TypeError("no text")


def _decimal(value: float) -> str:
    """A decimal string has sixteen characters (PS3.5 6.2): more digits than that are rounded."""
    if not math.isfinite(value):
        raise ValueError("no decimal")
    text = repr(value)
    digits = _DECIMAL_CHARACTERS
    while len(text) > _DECIMAL_CHARACTERS:
        text, digits = f"{value:.{digits}g}", digits - 1
    return text


def _is_ascii(value: Any) -> bool:
    match value:
        case str():
            return value.isascii()
        case Mapping():
            return all(_is_ascii(each) for each in value.values())
        case list() | tuple():
            return all(_is_ascii(each) for each in value)
        case _:
            return True
