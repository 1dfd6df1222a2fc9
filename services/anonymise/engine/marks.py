"""What says that an instance is de-identified, and how (PS3.15 E.1.1, PS3.3 C.12.1.1.1, PS3.16 CID 7050)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from pydicom.datadict import keyword_for_tag

from services.anonymise.engine.options import BY_CODE, Option
from services.anonymise.engine.profile import Profile
from services.anonymise.engine.writing import Writer

PATIENT_IDENTITY_REMOVED = 0x00120062
DEIDENTIFICATION_METHOD = 0x00120063
DEIDENTIFICATION_CODES = 0x00120064
LONGITUDINAL_MODIFIED = 0x00280303
TAGS = frozenset((PATIENT_IDENTITY_REMOVED, DEIDENTIFICATION_METHOD, DEIDENTIFICATION_CODES, LONGITUDINAL_MODIFIED))
CODE_VALUE, CODING_SCHEME, CODE_MEANING = 0x00080100, 0x00080102, 0x00080104
CONTENT_SEQUENCE, GRAPHIC_ANNOTATION_SEQUENCE = 0x0040A730, 0x00700001

_BASIC_PROFILE = (b"113100", b"Basic Application Confidentiality Profile")
_CLEANED = frozenset(
    (
        Option.CLEAN_PIXEL_DATA,
        Option.CLEAN_RECOGNIZABLE_VISUAL_FEATURES,
        Option.CLEAN_GRAPHICS,
        Option.CLEAN_STRUCTURED_CONTENT,
        Option.CLEAN_DESCRIPTORS,
    )
)
"""What someone cleaned before us stays cleaned. What someone retained, we did not, so those codes go."""


def marks(
    writer: Writer, profile: Profile, done: Collection[Option], earlier: Collection[bytes], longitudinal: bytes
) -> dict[int, bytes]:
    """The written attributes by tag.

    Args:
        done: the options of the profile, and what was done to the pixels.
        earlier: code values of a De-identification Method Code Sequence that was there.
        longitudinal: the value of Longitudinal Temporal Information Modified that was there.
    """
    options = {*done, *(BY_CODE[code] for code in earlier if BY_CODE.get(code) in _CLEANED)}
    if Option.RETAIN_FULL_DATES in done and longitudinal in (b"MODIFIED", b"REMOVED"):
        # Someone moved or took the dates before us: what we retain are not the full ones.
        options.discard(Option.RETAIN_FULL_DATES)
        if longitudinal == b"MODIFIED":
            options.add(Option.RETAIN_MODIFIED_DATES)
    method = ["Plexus", f"DICOM PS3.15 {profile.edition} Table E.1-1, Basic Profile"]
    method += [option.meaning.decode() for option in sorted(options & profile.options)]
    codes = [_BASIC_PROFILE, *sorted((option.code, option.meaning) for option in options)]
    write = writer.element
    return {
        PATIENT_IDENTITY_REMOVED: write(PATIENT_IDENTITY_REMOVED, "CS", b"YES"),
        DEIDENTIFICATION_METHOD: write(DEIDENTIFICATION_METHOD, "LO", "\\".join(method).encode()),
        DEIDENTIFICATION_CODES: writer.sequence(
            DEIDENTIFICATION_CODES, [code_item(writer, code, b"DCM", meaning) for code, meaning in codes]
        ),
        LONGITUDINAL_MODIFIED: write(LONGITUDINAL_MODIFIED, "CS", _longitudinal(done, longitudinal)),
    }


def _longitudinal(done: Collection[Option], earlier: bytes) -> bytes:
    if Option.RETAIN_MODIFIED_DATES in done:
        return b"MODIFIED"
    if Option.RETAIN_FULL_DATES in done:
        return earlier if earlier in (b"MODIFIED", b"REMOVED") else b"UNMODIFIED"
    return b"REMOVED"


def code_item(writer: Writer, value: bytes, scheme: bytes, meaning: bytes) -> bytes:
    """The content of an item that holds a code (PS3.3 8.8)."""
    return (
        writer.element(CODE_VALUE, "SH", value)
        + writer.element(CODING_SCHEME, "SH", scheme)
        + writer.element(CODE_MEANING, "LO", meaning)
    )


def dummy_item(writer: Writer, tag: int) -> bytes | None:
    """The one item of a sequence whose content may not stay and that must have one (action D); None for a sequence of
    no such form."""
    made = _DUMMY_ITEMS.get(tag)
    if made is not None:
        return made(writer)
    if keyword_for_tag(tag).endswith("CodeSequence"):
        return code_item(writer, b"ANONYMOUS", b"99PLEXUS", b"ANONYMOUS")
    return None


def _content_item(writer: Writer) -> bytes:
    """A text that says nothing (PS3.3 C.17.3)."""
    return (
        writer.element(0x0040A010, "CS", b"CONTAINS")
        + writer.element(0x0040A040, "CS", b"TEXT")
        + writer.sequence(0x0040A043, [code_item(writer, b"121106", b"DCM", b"Comment")])
        + writer.element(0x0040A160, "UT", b"ANONYMOUS")
    )


def _graphic_item(writer: Writer) -> bytes:
    """A point in the corner (PS3.3 C.10.5)."""
    point = (
        writer.element(0x00700005, "CS", b"PIXEL")
        + writer.element(0x00700020, "US", writer.number(2))
        + writer.element(0x00700021, "US", writer.number(1))
        + writer.element(0x00700022, "FL", bytes(8))
        + writer.element(0x00700023, "CS", b"POINT")
    )
    return writer.element(0x00700002, "CS", b"ANONYMOUS") + writer.sequence(0x00700009, [point])


_DUMMY_ITEMS: Mapping[int, Callable[[Writer], bytes]] = {
    CONTENT_SEQUENCE: _content_item,
    GRAPHIC_ANNOTATION_SEQUENCE: _graphic_item,
}
