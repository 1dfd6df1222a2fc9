"""The options of PS3.15 E.3 that a profile may add to the Basic Profile, and their codes (PS3.16 CID 7050)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Option(StrEnum):
    """An option of PS3.15 E.3; its value is the word that a profile uses."""

    CLEAN_PIXEL_DATA = "clean-pixel-data"
    CLEAN_RECOGNIZABLE_VISUAL_FEATURES = "clean-recognizable-visual-features"
    CLEAN_GRAPHICS = "clean-graphics"
    CLEAN_STRUCTURED_CONTENT = "clean-structured-content"
    CLEAN_DESCRIPTORS = "clean-descriptors"
    RETAIN_FULL_DATES = "retain-longitudinal-full-dates"
    RETAIN_MODIFIED_DATES = "retain-longitudinal-modified-dates"
    RETAIN_PATIENT_CHARACTERISTICS = "retain-patient-characteristics"
    RETAIN_DEVICE_IDENTITY = "retain-device-identity"
    RETAIN_UIDS = "retain-uids"
    RETAIN_SAFE_PRIVATE = "retain-safe-private"
    RETAIN_INSTITUTION_IDENTITY = "retain-institution-identity"

    @property
    def column(self) -> str:
        """Its column in the table as data."""
        return self.value.replace("-", "_")

    @property
    def code(self) -> bytes:
        """Its Code Value, of the scheme DCM."""
        return _CODES[self][0]

    @property
    def meaning(self) -> bytes:
        """Its Code Meaning."""
        return _CODES[self][1]


_CODES: Mapping[Option, tuple[bytes, bytes]] = {
    Option.CLEAN_PIXEL_DATA: (b"113101", b"Clean Pixel Data Option"),
    Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES: (b"113102", b"Clean Recognizable Visual Features Option"),
    Option.CLEAN_GRAPHICS: (b"113103", b"Clean Graphics Option"),
    Option.CLEAN_STRUCTURED_CONTENT: (b"113104", b"Clean Structured Content Option"),
    Option.CLEAN_DESCRIPTORS: (b"113105", b"Clean Descriptors Option"),
    Option.RETAIN_FULL_DATES: (b"113106", b"Retain Longitudinal Temporal Information Full Dates Option"),
    Option.RETAIN_MODIFIED_DATES: (b"113107", b"Retain Longitudinal Temporal Information Modified Dates Option"),
    Option.RETAIN_PATIENT_CHARACTERISTICS: (b"113108", b"Retain Patient Characteristics Option"),
    Option.RETAIN_DEVICE_IDENTITY: (b"113109", b"Retain Device Identity Option"),
    Option.RETAIN_UIDS: (b"113110", b"Retain UIDs Option"),
    Option.RETAIN_SAFE_PRIVATE: (b"113111", b"Retain Safe Private Option"),
    Option.RETAIN_INSTITUTION_IDENTITY: (b"113112", b"Retain Institution Identity Option"),
}

BY_CODE: Mapping[bytes, Option] = {code: option for option, (code, _) in _CODES.items()}

OF_PIXELS = frozenset((Option.CLEAN_PIXEL_DATA, Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES))
"""Options that are no columns of the table: they say what is done to the pixels (PS3.15 E.3.1, E.3.2)."""
