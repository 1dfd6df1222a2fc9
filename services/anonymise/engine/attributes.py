"""What the standard's dictionary (PS3.6) says of a tag, and whether a value is what its VR promises (PS3.5 6.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from pydicom.datadict import DicomDictionary  # type: ignore[attr-defined]  # there, only not declared

SHORT_TEXT = frozenset(("LO", "SH", "ST", "LT", "UT", "UC"))
"""Free text."""

STRINGS = SHORT_TEXT | {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "PN", "TM", "UI", "UR"}

IDENTIFYING = frozenset(("AE", "AS", "DA", "DT", "PN", "TM", "UR"))
"""VRs of which no value survives: people, moments, places on a network. The table lists all such attributes that its
authors knew; this holds for those that they did not, too."""

OPAQUE = frozenset(("OB", "OW", "UN"))
"""VRs whose bytes may hold anything. Those of OD, OF, OL and OV are numbers."""

LONG_LENGTH = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"))
"""VRs with a 32-bit length in Explicit VR (PS3.5 7.1.2)."""

VRS = STRINGS | OPAQUE | LONG_LENGTH | {"AT", "FD", "FL", "SL", "SS", "UL", "US"}

_BYTES = {"AT": 4, "FD": 8, "FL": 4, "SL": 4, "SS": 2, "SV": 8, "UL": 4, "US": 2, "UV": 8}
_WORDS = {"OB": 1, "OD": 8, "OF": 4, "OL": 4, "OV": 8, "OW": 2}
_NUMBER = re.compile(rb" *[+-]?(?:\d{1,32}(?:\.\d{0,32})?|\.\d{1,32})(?:[eE][+-]?\d{1,4})? *")
_INTEGER = re.compile(rb" *[+-]?\d{1,12} *")
_CODE = re.compile(rb"[A-Z0-9_ ]{0,16}")
_CHARACTER_SETS = re.compile(rb"(?:ISO_IR \d{1,3}|ISO 2022 IR \d{1,3}|GB18030|GBK|) *")

SPECIFIC_CHARACTER_SET = 0x00080005

_LOOKUP_TABLES = frozenset(
    (
        0x00281201, 0x00281202, 0x00281203, 0x00281204,  # palette colours
        0x00281221, 0x00281222, 0x00281223,  # the same, segmented
        0x00283006,  # LUT Data
        0x7FE00001, 0x7FE00002,  # extended offset table
        0x00660023, 0x00660024, 0x00660025, 0x00660029,  # indices of points of a surface
        0x54000110, 0x54000112, 0x5400100A, 0x54001010,  # samples of a waveform, the least, the most, the padding
    )
)  # fmt: skip
"""Opaque attributes that pixels, surfaces and signals need, and that hold numbers by definition."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One public attribute.

    Attributes:
        vrs: the VRs that the dictionary allows; empty where pydicom's dictionary is older than the table.
        most: the most values it may have; 0 is any number.
    """

    tag: int
    vrs: tuple[str, ...]
    most: int
    retired: bool

    @property
    def vr(self) -> str:
        """Its VR, or the first of several."""
        return self.vrs[0] if self.vrs else "UN"

    @property
    def is_opaque(self) -> bool:
        """Whether nobody can tell what its bytes say."""
        return self.tag not in _LOOKUP_TABLES and any(vr in OPAQUE for vr in self.vrs)


@lru_cache(maxsize=16384)
def attribute_of(tag: int) -> Attribute | None:
    """The attribute in the standard's dictionary, or None."""
    entry = DicomDictionary.get(tag)
    if entry is None:
        return None
    vr, vm, _, retired, _ = entry
    high = vm.rpartition("-")[2]
    vrs = tuple(part for part in vr.split(" or ") if part in VRS)
    return Attribute(tag, vrs, int(high) if high.isdigit() else 0, retired == "Retired")


def conforms(attribute: Attribute, vr: str, value: bytes) -> bool:
    """Whether `value` is what `vr` promises, so that for example no name stands in a number.

    Free text is text: nothing can be said of it here.
    """
    if attribute.tag == SPECIFIC_CHARACTER_SET:
        return all(_CHARACTER_SETS.fullmatch(part) for part in value.split(b"\\"))
    match vr:
        case "DS":
            return _all(_NUMBER, value, attribute.most)
        case "IS":
            return _all(_INTEGER, value, attribute.most)
        case "CS":
            return _all(_CODE, value, attribute.most)
        case "AT" | "FD" | "FL" | "SL" | "SS" | "SV" | "UL" | "US" | "UV":
            count, rest = divmod(len(value), _BYTES[vr])
            return rest == 0 and (attribute.most == 0 or count <= attribute.most)
        case "OB" | "OD" | "OF" | "OL" | "OV" | "OW":
            return len(value) % _WORDS[vr] == 0
        case _:
            return True


def _all(form: re.Pattern[bytes], value: bytes, most: int) -> bool:
    parts = value.rstrip(b"\0 ").split(b"\\")
    return (most == 0 or len(parts) <= most) and all(form.fullmatch(part) or not part for part in parts)


_DUMMIES = {
    "AE": b"ANONYMOUS",
    "AS": b"000D",
    "CS": b"ANONYMOUS",
    "DA": b"19000101",
    "DS": b"0",
    "DT": b"19000101000000",
    "IS": b"0",
    "LO": b"ANONYMOUS",
    "LT": b"ANONYMOUS",
    "PN": b"ANONYMOUS",
    "SH": b"ANONYMOUS",
    "ST": b"ANONYMOUS",
    "TM": b"000000",
    "UC": b"ANONYMOUS",
    "UR": b"about:blank",
    "UT": b"ANONYMOUS",
}


def dummy(vr: str) -> bytes:
    """The fixed value that stands where a value must be (action D)."""
    return _DUMMIES.get(vr) or bytes(_BYTES.get(vr) or _WORDS.get(vr, 2))


def dummies() -> frozenset[bytes]:
    """Every fixed text that this service writes."""
    return frozenset(_DUMMIES.values())
