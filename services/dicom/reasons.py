"""Why an instance is refused, and what is odd but let pass: closed lists that quote nothing from an instance."""

from enum import StrEnum
from typing import Final


class Reason(StrEnum):
    """Why an instance is refused: a closed list, each with a status and a sentence that quotes nothing from it."""

    NOT_DICOM = "not-dicom"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    MISSING_TRANSFER_SYNTAX = "missing-transfer-syntax"
    TRANSFER_SYNTAX_UNSUPPORTED = "transfer-syntax-unsupported"
    SOP_CLASS_UNSUPPORTED = "sop-class-unsupported"
    MISSING_UID = "missing-uid"
    ILLEGAL_UID = "illegal-uid"
    SOP_CLASS_MISMATCH = "sop-class-mismatch"
    SOP_INSTANCE_MISMATCH = "sop-instance-mismatch"
    STUDY_MISMATCH = "study-mismatch"
    PIXEL_DATA_SHORT = "pixel-data-short"
    METADATA_UNREADABLE = "metadata-unreadable"
    BULK_DATA_MISSING = "bulk-data-missing"
    BULK_DATA_UNNAMED = "bulk-data-unnamed"

    @property
    def failure_reason(self) -> int:
        """The Failure Reason (PS3.18 Table I.2-2), which is also the C-STORE status (PS3.4 B.2.3)."""
        return _TOLD[self][0]

    @property
    def text(self) -> str:
        """One sentence for a person."""
        return _TOLD[self][1]


# Sentences of at most 64 characters: they also travel as Error Comment (0000,0902), an LO.
_TOLD: Final[dict[Reason, tuple[int, str]]] = {
    Reason.NOT_DICOM: (0xC000, "Not a DICOM file: no preamble with the prefix DICM."),
    Reason.TRUNCATED: (0xC000, "The file ends in the middle of the data set."),
    Reason.MALFORMED: (0xC000, "The data set cannot be read: its elements do not fit together."),
    Reason.TOO_LARGE: (0xA700, "More elements, or more inflated bytes, than we take."),
    Reason.MISSING_TRANSFER_SYNTAX: (0xC000, "The file meta information names no transfer syntax."),
    Reason.TRANSFER_SYNTAX_UNSUPPORTED: (0xC122, "The transfer syntax is not known here."),
    Reason.SOP_CLASS_UNSUPPORTED: (0x0122, "Objects of this SOP class are not stored."),
    Reason.MISSING_UID: (0xA900, "Study, Series, SOP Instance or SOP Class UID is missing."),
    Reason.ILLEGAL_UID: (0xA900, "Study, Series, SOP Instance or SOP Class UID is not legal."),
    Reason.SOP_CLASS_MISMATCH: (0xA900, "The SOP Class UID is not the one that was announced."),
    Reason.SOP_INSTANCE_MISMATCH: (0xA900, "The SOP Instance UID is not the one that was announced."),
    Reason.STUDY_MISMATCH: (0xA900, "The instance belongs to another study than the request."),
    Reason.PIXEL_DATA_SHORT: (0xC000, "Pixel Data is shorter than its description demands."),
    Reason.METADATA_UNREADABLE: (0xC000, "The metadata is no data set in DICOM JSON or Native XML."),
    Reason.BULK_DATA_MISSING: (0xC000, "Bulk data that the metadata names has not come."),
    Reason.BULK_DATA_UNNAMED: (0xC000, "A part that no metadata of the request names."),
}


class InstanceError(Exception):
    """An instance that cannot be taken; its text is fixed by the reason."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.text)
        self.reason = reason


class Note(StrEnum):
    """Something odd that was let pass."""

    LEADING_ZERO_UID = "leading-zero-uid"
    META_INCOMPLETE = "meta-incomplete"
    META_INSTANCE_UID_DIFFERS = "meta-instance-uid-differs"
    VR_ENCODING = "vr-encoding"
    UNKNOWN_VR = "unknown-vr"
    STRAY_DELIMITER = "stray-delimiter"
    FEWER_FRAGMENTS = "fewer-fragments-than-frames"
    FRAMES_AMBIGUOUS = "frames-ambiguous"
    PIXELS_NOT_DESCRIBED = "pixels-not-described"
