"""What says that an instance is de-identified, and how (PS3.15 E.1.1, PS3.3 C.12.1.1.1, PS3.16 CID 7050)."""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.datadict import keyword_for_tag

from services.anonymise.writing import Writer

PATIENT_IDENTITY_REMOVED = 0x00120062
DEIDENTIFICATION_METHOD = 0x00120063
DEIDENTIFICATION_CODES = 0x00120064
LONGITUDINAL_MODIFIED = 0x00280303
TAGS = frozenset((PATIENT_IDENTITY_REMOVED, DEIDENTIFICATION_METHOD, DEIDENTIFICATION_CODES, LONGITUDINAL_MODIFIED))
CODE_VALUE, CODING_SCHEME, CODE_MEANING = 0x00080100, 0x00080102, 0x00080104

_BASIC_PROFILE = (b"113100", b"Basic Application Confidentiality Profile")
_CLEANED_EARLIER = {
    b"113101": b"Clean Pixel Data Option",
    b"113102": b"Clean Recognizable Visual Features Option",
    b"113103": b"Clean Graphics Option",
    b"113104": b"Clean Structured Content Option",
    b"113105": b"Clean Descriptors Option",
}
"""What someone cleaned before us stays cleaned. What someone retained, we did not, so those codes go."""


def marks(writer: Writer, edition: str, earlier: Iterable[bytes]) -> dict[int, bytes]:
    """The written attributes by tag.

    Args:
        edition: of the standard's table, such as `2026c`.
        earlier: code values of a De-identification Method Code Sequence that was there.
    """
    method = f"Plexus\\DICOM PS3.15 {edition} Table E.1-1, Basic Profile"
    codes = [
        _BASIC_PROFILE,
        *((code, _CLEANED_EARLIER[code]) for code in sorted(set(earlier) & _CLEANED_EARLIER.keys())),
    ]
    write = writer.element
    return {
        PATIENT_IDENTITY_REMOVED: write(PATIENT_IDENTITY_REMOVED, "CS", b"YES"),
        DEIDENTIFICATION_METHOD: write(DEIDENTIFICATION_METHOD, "LO", method.encode()),
        DEIDENTIFICATION_CODES: writer.sequence(
            DEIDENTIFICATION_CODES, [_code(writer, code, b"DCM", meaning) for code, meaning in codes]
        ),
        LONGITUDINAL_MODIFIED: write(LONGITUDINAL_MODIFIED, "CS", b"REMOVED"),
    }


def dummy_item(writer: Writer, tag: int) -> bytes:
    """The one item of a sequence that must have one (action D): a code that says nothing, or empty."""
    if keyword_for_tag(tag).endswith("CodeSequence"):
        return _code(writer, b"ANONYMOUS", b"99PLEXUS", b"ANONYMOUS")
    return b""


def _code(writer: Writer, value: bytes, scheme: bytes, meaning: bytes) -> bytes:
    return (
        writer.element(CODE_VALUE, "SH", value)
        + writer.element(CODING_SCHEME, "SH", scheme)
        + writer.element(CODE_MEANING, "LO", meaning)
    )
