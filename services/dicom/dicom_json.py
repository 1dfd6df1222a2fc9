"""A data set in the DICOM JSON model (PS3.18 F): made straight from its encoded elements, in UTF-8, without Pixel Data.

What an element's bytes are too many for (pixels always, other binary values above `INLINE_BYTES`) becomes a
BulkDataURI relative to the series, `instances/<SOP Instance UID>/bulkdata/<path>`; the path is the tag, and for an
element of an item `<sequence tag>-<item, from 0>-<tag>`.
"""

import base64
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final

import orjson

from services.dicom.attributes import tag_of
from services.dicom.charsets import CharacterSet, character_set
from services.dicom.elements import Element
from services.dicom.frames import swapped
from services.dicom.layout import BulkRange
from services.dicom.pixels import PIXEL_TAGS
from services.dicom.values import BINARY, WORD_BYTES, json_values

INLINE_BYTES: Final = 1024
"""The longest binary value that is written into the metadata itself."""

DicomJson = dict[str, Any]
"""A data set: tag of eight hex digits -> {"vr": ..., "Value" | "InlineBinary" | "BulkDataURI": ...}."""

_SPECIFIC_CHARACTER_SET: Final = 0x00080005
_PIXEL_REPRESENTATION: Final = 0x00280103
_LUT_DESCRIPTOR: Final = 0x00283002
_SETTLING: Final = frozenset((_SPECIFIC_CHARACTER_SET, _PIXEL_REPRESENTATION, _LUT_DESCRIPTOR))
_ESCAPE: Final = 0x1B
_ASCII: Final = CharacterSet()
_REMEMBERED_BYTES: Final = 128
"""Most short values are the same in a whole series: those up to this length are read once."""


@dataclass(frozen=True, slots=True)
class _Scope:
    """What an item inherits from the data set around it."""

    charset: CharacterSet
    signed: bool
    path: str


class Encoder:
    """Turns walked elements into DICOM JSON and notes where the bulk data lies.

    Args:
        data: the bytes in which the offsets of the elements count.
        sop_instance_uid: for the BulkDataURIs.
    """

    def __init__(self, data: memoryview, sop_instance_uid: str) -> None:
        self._data = data
        self._uri = f"instances/{sop_instance_uid}/bulkdata/"
        self.bulk: dict[str, BulkRange] = {}

    def encode(self, elements: list[Element]) -> DicomJson:
        """Gives the data set as a Python object that `dumps` can write."""
        return self._dataset(elements, _Scope(CharacterSet(), signed=False, path=""))

    def _dataset(self, elements: list[Element], scope: _Scope) -> DicomJson:
        scope, lut_entries = self._settled(elements, scope)
        found: DicomJson = {}
        last, ordered = 0, True
        for element in elements:
            tag = element.tag
            if tag & 0xFFFF == 0:
                continue  # group lengths say nothing outside a file (PS3.18 F.2.1)
            ordered, last = ordered and tag > last, tag
            name = _name(tag)
            found[name] = self._element(element, name, scope, lut_entries)
        if "Value" in found.get("00080005", ()):
            found["00080005"] = found["00080005"] | {"Value": ["ISO_IR 192"]}  # what the text is in now (PS3.18 F.2.1)
        return found if ordered else dict(sorted(found.items()))

    def _settled(self, elements: list[Element], scope: _Scope) -> tuple[_Scope, int]:
        """Reads the elements on which the reading of others depends."""
        lut_entries = 0
        for element in elements:
            if element.tag not in _SETTLING:
                continue
            if element.tag == _SPECIFIC_CHARACTER_SET and element.length:
                terms = self._bytes(element).decode("latin_1").strip(" \0").split("\\")
                scope = replace(scope, charset=character_set(terms))
            elif element.tag == _PIXEL_REPRESENTATION:
                scope = replace(scope, signed=self._bytes(element).strip(b"\0") == b"\1")
            elif element.tag == _LUT_DESCRIPTOR and element.length >= 2:
                lut_entries = int.from_bytes(self._bytes(element)[:2], "little" if element.little else "big")
        return scope, lut_entries

    def _bytes(self, element: Element) -> bytes:
        return bytes(self._data[element.offset : element.offset + element.length])

    def _element(self, element: Element, name: str, scope: _Scope, lut_entries: int) -> dict[str, Any]:
        if element.items is not None:
            items = [
                self._dataset(item, replace(scope, path=f"{scope.path}{name}-{number}-"))
                for number, item in enumerate(element.items)
            ]
            return {"vr": "SQ", "Value": items} if items else {"vr": "SQ"}
        vr = element.vr if len(element.vr) == 2 else _settled_vr(element, signed=scope.signed, lut_entries=lut_entries)
        if vr in BINARY:
            return self._binary(element, vr, f"{scope.path}{name}")
        raw = bytes(self._data[element.offset : element.offset + element.length])
        if len(raw) <= _REMEMBERED_BYTES and raw.isascii() and _ESCAPE not in raw:
            # No character set can change it.
            return _remembered(vr, raw, element.little)
        return _read(vr, raw, element.little, scope.charset)

    def _binary(self, element: Element, vr: str, path: str) -> dict[str, Any]:
        encapsulated = element.fragments is not None
        if element.length == 0:
            return {"vr": vr}
        if element.length > INLINE_BYTES or encapsulated or element.tag in PIXEL_TAGS:
            self.bulk[path] = BulkRange(element.offset, element.length, vr, encapsulated)
            return {"vr": vr, "BulkDataURI": self._uri + path}
        raw = self._bytes(element)
        if not element.little and vr in WORD_BYTES:
            raw = swapped(raw, WORD_BYTES[vr])
        return {"vr": vr, "InlineBinary": base64.b64encode(raw).decode()}


@lru_cache(maxsize=16384)
def _name(tag: int) -> str:
    return f"{tag:08X}"


@lru_cache(maxsize=8192)
def _remembered(vr: str, raw: bytes, little: bool) -> dict[str, Any]:
    return _read(vr, raw, little, _ASCII)


def _read(vr: str, raw: bytes, little: bool, charset: CharacterSet) -> dict[str, Any]:
    values = json_values(vr, raw, little=little, charset=charset)
    return {"vr": vr, "Value": values} if values else {"vr": vr}


def _settled_vr(element: Element, *, signed: bool, lut_entries: int) -> str:
    """Chooses among the VRs that PS3.6 leaves open when none was written (PS3.5 A.1, PS3.3 C.7.6.3, C.11)."""
    match element.vr:
        case "US or SS":
            return "SS" if signed else "US"
        case "US or OW":
            return "US" if lut_entries == 1 else "OW"
        case "US or SS or OW":
            return "OW"
        case _:
            # "OB or OW": encapsulated data is OB, and implicit little endian has OW only.
            return "OW" if element.fragments is None else "OB"


def dumps(value: Any) -> bytes:
    """Writes DICOM JSON as compact UTF-8; a NaN becomes null.

    Raises:
        ValueError: it is no text (half of a surrogate pair).
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        # Integers of more than 64 bits, say: an IS may hold one.
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def loads(data: bytes | str) -> Any:
    """Reads JSON in UTF-8.

    Raises:
        ValueError: it is not JSON.
    """
    return orjson.loads(data)


def texts(attributes: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """Gives the values of an attribute as text, those that are null left out.

    Args:
        attributes: a data set as DICOM JSON.
        name: a keyword or a tag.

    Returns:
        One text a value; a person name as `Alphabetic=Ideographic=Phonetic`, without empty groups at the end.
    """
    values = attributes.get(tag_of(name) or "", {}).get("Value", ())
    return tuple(_text(value) for value in values if value is not None)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        groups = (str(value.get(group, "")) for group in ("Alphabetic", "Ideographic", "Phonetic"))
        return "=".join(groups).rstrip("=")
    return str(value)


def text(attributes: Mapping[str, Any], name: str) -> str:
    """Gives the first value of an attribute as text, or ""."""
    return next(iter(texts(attributes, name)), "")


def select(attributes: Mapping[str, Any], tags: Collection[str]) -> DicomJson:
    """Takes some attributes of the top level, in order of their tags."""
    return {tag: attributes[tag] for tag in sorted(tags) if tag in attributes}
