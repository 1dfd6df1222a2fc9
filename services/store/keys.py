"""The keys of a search: which attributes a query can match, and where their values lie in the index."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from services.dicom.attributes import tag_of, vr_of
from services.store import columns
from services.store.comparing import Shape, Source
from services.store.levels import SERIES_ITEMS, STUDY_ITEMS
from services.store.model import Level

_ALIAS: Final = {Level.STUDY: "st", Level.SERIES: "se", Level.INSTANCE: "i"}
_INDEXED: Final = ("PatientID", "AccessionNumber")


@dataclass(frozen=True, slots=True)
class Key:
    """An attribute that a query can match.

    Attributes:
        source: where its values are; of an item's attribute, relative to `item`.
        terms: its name among the terms; "" where it has none.
        triples: its terms are triples of characters, not whole values.
        sequence: the tag of the sequence in whose items it is.
        moment: the moment of which it is the date or the time (`columns.STUDY_MOMENTS`).
        unique: a column with an index of its own finds whole values.
    """

    level: Level
    source: Source
    terms: str = ""
    triples: bool = False
    sequence: str = ""
    moment: str = ""
    unique: bool = False

    @property
    def alias(self) -> str:
        """The table, as statements call it."""
        return _ALIAS[self.level]


def _keys(
    level: Level,
    plain: Mapping[str, tuple[str, Shape]],
    *,
    codes: Mapping[str, str],
    folded: Mapping[str, str],
    others: Mapping[str, str],
    items: Mapping[str, tuple[str, ...]],
    moments: Mapping[str, tuple[str, str]],
) -> dict[str, Key]:
    alias = _ALIAS[level]
    sounds = f"{alias}.more->'sounds'"
    moment_of = {keyword: name for name, pair in moments.items() for keyword in pair}
    found: dict[str, Key] = {}
    for keyword, (column, shape) in plain.items():
        source = Source(f"{alias}.{column}", _vr(keyword), shape)
        found[keyword] = Key(level, source, moment=moment_of.get(keyword, ""))
    for keyword, column in codes.items():
        found[keyword] = Key(level, Source(f"{alias}.{column}", _vr(keyword)), terms=keyword)
    for keyword, column in folded.items():
        source = Source(f"{alias}.{column}", _vr(keyword), sounds=sounds, keyword=keyword)
        found[keyword] = Key(level, source, terms=keyword, triples=True, unique=keyword in _INDEXED)
    for keyword, tag in others.items():
        source = Source(f"({alias}.more->'{tag}')", _vr(keyword), Shape.JSON, sounds, keyword)
        found[keyword] = Key(level, source, terms=tag, moment=moment_of.get(keyword, ""))
    for sequence, keywords in items.items():
        above = tag_of(sequence) or ""
        for keyword in keywords:
            source = Source(f"(item->'{tag_of(keyword)}')", _vr(keyword), Shape.JSON)
            found[f"{sequence}.{keyword}"] = Key(level, source, terms=f"{above}.{tag_of(keyword)}", sequence=above)
    return found


def _vr(keyword: str) -> str:
    return vr_of(tag_of(keyword) or "")


_STUDY: Final = _keys(
    Level.STUDY,
    {
        "StudyInstanceUID": ("study_instance_uid", Shape.TEXT),
        "PatientBirthDate": ("patient_birth_date", Shape.TEXT),
        "StudyDate": ("study_date", Shape.TEXT),
        "StudyTime": ("study_time", Shape.TEXT),
        "ModalitiesInStudy": ("modalities", Shape.ARRAY),
        "SOPClassesInStudy": ("sop_classes", Shape.ARRAY),
        "NumberOfStudyRelatedSeries": ("series_count", Shape.NUMBER),
        "NumberOfStudyRelatedInstances": ("instance_count", Shape.NUMBER),
    },
    codes=columns.STUDY_CODES,
    folded=columns.STUDY_TEXTS,
    others=columns.STUDY_OTHERS,
    items=STUDY_ITEMS,
    moments=columns.STUDY_MOMENTS,
)
_SERIES: Final = _keys(
    Level.SERIES,
    {
        "SeriesInstanceUID": ("series_instance_uid", Shape.TEXT),
        "SeriesNumber": ("series_number", Shape.NUMBER),
        "SeriesDate": ("series_date", Shape.TEXT),
        "PerformedProcedureStepStartDate": ("performed_procedure_step_start_date", Shape.TEXT),
        "PerformedProcedureStepStartTime": ("performed_procedure_step_start_time", Shape.TEXT),
        "NumberOfSeriesRelatedInstances": ("instance_count", Shape.NUMBER),
    },
    codes=columns.SERIES_CODES,
    folded=columns.SERIES_TEXTS,
    others=columns.SERIES_OTHERS,
    items=SERIES_ITEMS,
    moments=columns.SERIES_MOMENTS,
)
_INSTANCE: Final = _keys(
    Level.INSTANCE,
    {
        "SOPInstanceUID": ("sop_instance_uid", Shape.TEXT),
        "SOPClassUID": ("sop_class_uid", Shape.TEXT),
        "AvailableTransferSyntaxUID": ("transfer_syntax_uid", Shape.TEXT),
        "InstanceNumber": ("instance_number", Shape.NUMBER),
        "Rows": ("rows", Shape.NUMBER),
        "Columns": ("columns", Shape.NUMBER),
        "BitsAllocated": ("bits_allocated", Shape.NUMBER),
        "NumberOfFrames": ("number_of_frames", Shape.NUMBER),
    },
    **{name: {} for name in ("codes", "folded", "others", "items", "moments")},
)
KEYS: Final[Mapping[Level, Mapping[str, Key]]] = {
    # An attribute that is of two levels (Timezone Offset From UTC, say) is that of the level that is asked for.
    Level.STUDY: _INSTANCE | _SERIES | _STUDY,
    Level.SERIES: _INSTANCE | _STUDY | _SERIES,
    Level.INSTANCE: _STUDY | _SERIES | _INSTANCE,
}

SEARCHABLE: Final[Mapping[Level, frozenset[str]]] = {level: frozenset(keys) for level, keys in KEYS.items()}
"""Keywords that a query can match, by level.

Those of the levels above are among them, and those below: a study answers to a key of its series by one series that
meets all keys of series, so too by one instance.
"""


def own_keywords(level: Level) -> frozenset[str]:
    """The keywords of a level itself."""
    return frozenset({Level.STUDY: _STUDY, Level.SERIES: _SERIES, Level.INSTANCE: _INSTANCE}[level])
