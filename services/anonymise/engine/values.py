"""What becomes of a value that an option keeps or cleans (PS3.15 Table E.1-1a, actions K and C)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from services.anonymise.engine import words
from services.anonymise.engine.attributes import SHORT_TEXT, Attribute, conforms
from services.anonymise.engine.dates import LONGEST_SHIFT_DAYS, is_temporal, shifted
from services.anonymise.engine.options import Option
from services.anonymise.engine.pseudonyms import Pseudonyms
from services.anonymise.model import Because
from services.dicom.charsets import CharacterSet

OLDEST = 89
"""Ages above it become OLDEST + 1: so few people are older that the age names them."""

_TEMPORAL = frozenset(("DA", "DT", "TM"))
_NEVER = frozenset(("PN", "UR"))
_SEVERAL = frozenset(("LO", "SH", "UC"))
_AGE = re.compile(rb"(\d{3})([DWMY])")
_PUBLIC_VERSIONS = frozenset((0x00080106, 0x00080107, 0x0040DB06, 0x0040DB07))
"""Versions of context groups and templates: everybody can look up the original date, and so the shift."""


@dataclass(frozen=True)
class Values:
    """Makes the values of one instance.

    Attributes:
        patient: what tells the patient from others.
        names: words of the names in this instance; no cleaned text keeps one.
        more: words that the profile adds to those of medicine.
    """

    pseudonyms: Pseudonyms
    charset: CharacterSet
    patient: str
    names: frozenset[str]
    more: frozenset[str]

    def kept(self, attribute: Attribute, vr: str, value: bytes) -> bytes | None:
        """The value that stays under action K; None if it is not what its VR promises."""
        if vr in _NEVER:
            return None
        if vr in _TEMPORAL:
            return value if is_temporal(vr, value) else None
        if vr == "AS":
            return capped(value)
        return value if conforms(attribute, vr, value) else None

    def cleaned(self, attribute: Attribute, vr: str, value: bytes, because: Because | Option) -> bytes | None:
        """The value that stands in its place under action C; None if there is none."""
        if because is Option.RETAIN_MODIFIED_DATES:
            if attribute.tag in _PUBLIC_VERSIONS:
                return None
            return shifted(vr, value, self.pseudonyms.shift(self.patient, LONGEST_SHIFT_DAYS))
        if because is Option.RETAIN_DEVICE_IDENTITY:
            return self.pseudonyms.device(value.strip(b"\0 ").decode("latin-1")).encode() if value.strip() else None
        return self.text(vr, value)

    def text(self, vr: str, value: bytes) -> bytes | None:
        """A free text with nothing but known words in it; None if no word of it is known."""
        if vr not in SHORT_TEXT:
            return None
        decoded = self.charset.decode(value)
        parts = decoded.split("\\") if vr in _SEVERAL else [decoded]
        cleaned = [words.cleaned(part, self.more, self.names) for part in parts]
        return "\\".join(cleaned).encode(self.charset.codec, "ignore") if any(cleaned) else None


def capped(value: bytes) -> bytes | None:
    """An age (VR AS), at most OLDEST + 1 years; None if it is none."""
    ages = []
    for part in value.split(b"\\"):
        found = _AGE.fullmatch(part.strip(b"\0 "))
        if found is None:
            return None
        ages.append(f"{OLDEST + 1:03d}Y".encode() if found[2] == b"Y" and int(found[1]) > OLDEST else found[0])
    return b"\\".join(ages)
