"""Attributes by level of the query information model (PS3.18 10.6.3.3), and names of attributes (PS3.6)."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword

_TAG = re.compile(r"\(?([0-9A-Fa-f]{4}),?([0-9A-Fa-f]{4})\)?")
_REMEMBERED: Final = 8192
"""Names and tags whose look-up is remembered: more than PS3.6 has, and bounded, for clients may ask for anything."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """One attribute: `tag` as eight upper-case hex digits, its PS3.6 `keyword`, its `vr`."""

    tag: str
    keyword: str
    vr: str


@lru_cache(_REMEMBERED)
def tag_of(name: str) -> str | None:
    """Gives the tag (`00100010`) of a keyword or of a tag in any usual spelling; None when it is neither.

    Examples:
        `PatientName`, `00100010`, `0010,0010` and `(0010,0010)` all give `00100010`.
    """
    if spelled := _TAG.fullmatch(name):
        return (spelled[1] + spelled[2]).upper()
    tag = tag_for_keyword(name) if name else None  # PS3.6 has tags without a keyword
    return None if tag is None else f"{tag:08X}"


@lru_cache(_REMEMBERED)
def keyword_of(tag: str) -> str:
    """Gives the keyword of a tag of eight hex digits, or "" when PS3.6 has none."""
    return keyword_for_tag(int(tag, 16))


@lru_cache(_REMEMBERED)
def vr_of(tag: str) -> str:
    """Gives the VR of a tag of eight hex digits, the first where PS3.6 allows several; `UN` when it is not there."""
    try:
        return dictionary_VR(int(tag, 16)).split(" or ")[0]
    except KeyError:
        return "UN"


def _attributes(*keywords: str) -> tuple[Attribute, ...]:
    found = []
    for keyword in keywords:
        tag = tag_of(keyword)
        assert tag is not None, keyword  # noqa: S101 - a spelling mistake in the tables below, found at import
        found.append(Attribute(tag, keyword, vr_of(tag)))
    return tuple(found)


STUDY: Final = _attributes(
    "SpecificCharacterSet",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "InstanceAvailability",
    "ModalitiesInStudy",
    "ReferringPhysicianName",
    "TimezoneOffsetFromUTC",
    "RetrieveURL",
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyID",
    "NumberOfStudyRelatedSeries",
    "NumberOfStudyRelatedInstances",
)
"""PS3.18 Table 10.6.3-3."""

SERIES: Final = _attributes(
    "SpecificCharacterSet",
    "Modality",
    "TimezoneOffsetFromUTC",
    "SeriesDescription",
    "RetrieveURL",
    "SeriesInstanceUID",
    "SeriesNumber",
    "NumberOfSeriesRelatedInstances",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "RequestAttributesSequence",
)
"""PS3.18 Table 10.6.3-4."""

INSTANCE: Final = _attributes(
    "SpecificCharacterSet",
    "SOPClassUID",
    "SOPInstanceUID",
    "AvailableTransferSyntaxUID",
    "InstanceAvailability",
    "TimezoneOffsetFromUTC",
    "RetrieveURL",
    "InstanceNumber",
    "Rows",
    "Columns",
    "BitsAllocated",
    "NumberOfFrames",
)
"""PS3.18 Table 10.6.3-5."""
