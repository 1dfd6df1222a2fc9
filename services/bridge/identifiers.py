"""Identifiers on the wire (PS3.5 7, PS3.4 C.2.2.2): encoded data sets <-> the DICOM JSON model.

Read as the archive reads instances, whatever their character set. Written in the character set in which the peer has
asked, where the answer fits into it; else in UTF-8.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from services.bridge.errors import RefusedError
from services.bridge.model import CANNOT_UNDERSTAND
from services.dicom import transfer_syntaxes
from services.dicom.charsets import character_set
from services.dicom.dicom_json import DicomJson, Encoder, texts
from services.dicom.elements import Broken, Walker

UTF_8: Final = "ISO_IR 192"

_CHARACTER_SET: Final = "00080005"
_TEXT: Final = frozenset(("LO", "LT", "PN", "SH", "ST", "UC", "UT"))
"""VRs that Specific Character Set is about (PS3.5 6.1.2.3)."""
_LONG_FORM: Final = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))
_LONGEST_SHORT: Final = 0xFFFE
_NUMBERS: Final = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "UV": "Q", "SV": "q", "FL": "f", "FD": "d"}
_ANSWERABLE: Final = frozenset(
    (
        *("ISO_IR 100", "ISO_IR 101", "ISO_IR 109", "ISO_IR 110", "ISO_IR 126", "ISO_IR 127", "ISO_IR 138"),
        *("ISO_IR 144", "ISO_IR 148", "ISO_IR 166", "ISO_IR 203", "GB18030", "GBK", UTF_8),
    )
)
"""Sets without code extensions (PS3.3 Tables C.12-2 and C.12-5) in which an answer can be written."""


def read(data: bytes, transfer_syntax_uid: str) -> DicomJson:
    """Read an Identifier; its text comes out as it is meant, its Specific Character Set as it was.

    Raises:
        RefusedError: it is no data set of this transfer syntax.
    """
    syntax = transfer_syntaxes.lookup(transfer_syntax_uid)
    if syntax is None or syntax.deflated:
        raise RefusedError(CANNOT_UNDERSTAND, "", "not in a transfer syntax that was agreed")
    view = memoryview(data)
    try:
        elements = Walker(view, explicit=syntax.explicit, big_endian=syntax.big_endian).walk(0, len(view))
        found = Encoder(view, "").encode(elements)
    except Broken:
        raise RefusedError(CANNOT_UNDERSTAND, "", "the data set cannot be read") from None
    for element in elements:
        if element.tag == 0x00080005 and element.length:
            stated = data[element.offset : element.offset + element.length].decode("latin_1").strip(" \0")
            found[_CHARACTER_SET] = {"vr": "CS", "Value": [term.strip() for term in stated.split("\\")]}
    return found


def write(attributes: DicomJson, transfer_syntax_uid: str, *, asked: DicomJson | None = None) -> bytes:
    """Write an Identifier in Explicit or Implicit VR Little Endian, or Explicit VR Big Endian.

    Args:
        attributes: the data set; a Specific Character Set in it counts for nothing.
        asked: the request's Identifier, for its character set.
    """
    term, codec = _fitting(list(_strings(attributes)), texts(asked or {}, _CHARACTER_SET))
    attributes = {tag: element for tag, element in attributes.items() if tag != _CHARACTER_SET}
    if term:
        attributes[_CHARACTER_SET] = {"vr": "CS", "Value": [term]}
    syntax = transfer_syntaxes.lookup(transfer_syntax_uid)
    explicit = syntax is None or syntax.explicit
    order = ">" if syntax is not None and syntax.big_endian else "<"
    return _dataset(attributes, codec, order, explicit=explicit)


def _fitting(strings: Sequence[str], asked: Sequence[str]) -> tuple[str, str]:
    """The Specific Character Set to answer in, and its codec; none where the default repertoire will do."""
    if all(map(str.isascii, strings)):
        return "", "ascii"
    if len(asked) == 1 and asked[0] in _ANSWERABLE:
        codec = character_set(list(asked)).codec
        try:
            "".join(strings).encode(codec)
        except UnicodeEncodeError:
            return UTF_8, "utf_8"
        return asked[0], codec
    return UTF_8, "utf_8"


def _strings(attributes: Mapping[str, Any]) -> Iterator[str]:
    for element in attributes.values():
        if element["vr"] == "SQ":
            for item in element.get("Value", ()):
                yield from _strings(item or {})
        elif element["vr"] in _TEXT:
            yield from map(_text, element.get("Value", ()))


def _dataset(attributes: Mapping[str, Any], codec: str, order: str, *, explicit: bool) -> bytes:
    return b"".join(_element(tag, attributes[tag], codec, order, explicit=explicit) for tag in sorted(attributes))


def _element(tag: str, element: Mapping[str, Any], codec: str, order: str, *, explicit: bool) -> bytes:
    vr: str = element["vr"]
    value = _value(vr, element, codec, order, explicit=explicit)
    head = struct.pack(f"{order}HH", int(tag[:4], 16), int(tag[4:], 16))
    if not explicit:
        return head + struct.pack(f"{order}L", len(value)) + value
    if vr not in _LONG_FORM and len(value) > _LONGEST_SHORT:
        vr = "UN"  # what is too long for its VR's form (PS3.5 6.2.2)
    if vr in _LONG_FORM:
        return head + vr.encode() + bytes(2) + struct.pack(f"{order}L", len(value)) + value
    return head + vr.encode() + struct.pack(f"{order}H", len(value)) + value


def _value(vr: str, element: Mapping[str, Any], codec: str, order: str, *, explicit: bool) -> bytes:
    if "InlineBinary" in element:
        return _padded(base64.b64decode(element["InlineBinary"]), b"\0")
    values = element.get("Value", ())
    if vr == "SQ":
        items = (_dataset(item or {}, codec, order, explicit=explicit) for item in values)
        return b"".join(struct.pack(f"{order}HHL", 0xFFFE, 0xE000, len(item)) + item for item in items)
    if vr == "AT":
        return b"".join(struct.pack(f"{order}HH", int(v[:4], 16), int(v[4:], 16)) for v in values if v)
    if form := _NUMBERS.get(vr):
        convert = float if form in "fd" else int
        return b"".join(struct.pack(order + form, convert(value or 0)) for value in values)
    joined = "\\".join(map(_text, values))
    # What is not text in the sense of the character set is ASCII, or was broken where it came from.
    return _padded(joined.encode(codec if vr in _TEXT else "ascii", "replace"), b"\0" if vr == "UI" else b" ")


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "=".join(value.get(group, "") for group in ("Alphabetic", "Ideographic", "Phonetic")).rstrip("=")
    return "" if value is None else str(value)


def _padded(value: bytes, padding: bytes) -> bytes:
    return value + padding * (len(value) % 2)
