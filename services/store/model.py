"""The rows of the index as values, and the rules that need no database."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from services.dicom.matching import Condition
from services.dicom.part10 import ParsedInstance


class Level(StrEnum):
    """A level of the Study Root query model (PS3.4 C.6.2.1)."""

    STUDY = "study"
    SERIES = "series"
    INSTANCE = "instance"


class Written(StrEnum):
    """What became of an instance that was offered to the index."""

    STORED = "stored"
    UNCHANGED = "unchanged"
    """The same bytes are there already."""
    KEPT_FIRST = "kept-first"
    """Other bytes are there under this SOP Instance UID: they stay, and these are noted as evidence."""
    REPLACED = "replaced"
    """Other bytes were there: these are served from now on, and those are noted as evidence."""
    REFUSED = "refused"
    """Other bytes are there: they stay, and these are not kept."""


class Policy(StrEnum):
    """What to do with other bytes under a SOP Instance UID that is taken. None of them loses what is stored."""

    KEEP_FIRST = "keep-first"
    KEEP_LAST = "keep-last"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Entry:
    """An instance for the index; its object is durable already.

    Attributes:
        digest: sha256 of the object, hex.
        size: of it, in bytes.
        metadata: the data set as a DICOM JSON object, as it is served.
        layout: where its frames and bulk data lie (`services.dicom.layout`).
        attributes: the same as `metadata`, for the rows of study and series.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    digest: str
    size: int
    metadata: bytes
    layout: bytes
    attributes: Mapping[str, Any]

    @classmethod
    def of(cls, parsed: ParsedInstance, *, digest: str, size: int) -> Self:
        """The entry of a parsed instance whose bytes are kept under `digest`."""
        return cls(
            study_instance_uid=parsed.study_instance_uid,
            series_instance_uid=parsed.series_instance_uid,
            sop_instance_uid=parsed.sop_instance_uid,
            sop_class_uid=parsed.sop_class_uid,
            transfer_syntax_uid=parsed.transfer_syntax_uid,
            digest=digest,
            size=size,
            metadata=parsed.metadata,
            layout=parsed.layout.encode(),
            attributes=parsed.attributes,
        )


@dataclass(frozen=True, slots=True)
class Recorded:
    """What `index.record` did with an entry; `series` is the key of the series that has changed, if one has."""

    written: Written
    series: int | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A search (PS3.18 8.3.4, PS3.4 C.2.2).

    Attributes:
        level: what is asked for.
        study_instance_uid: the study that the path names, or "".
        series_instance_uid: the series that the path names, or "".
        conditions: by keyword, such as `PatientName`, or `RequestAttributesSequence.RequestedProcedureID`. Those that
            `search.SEARCHABLE` does not have at this level are passed over.
        limit: at most so many; ask for one more to learn whether there are more.
        offset: how many to pass over.
        offset_from_utc: minutes of the time zone in which the dates and times of the conditions are (PS3.4 C.2.2.2.5);
            None: in that of each study, whichever it is.
        metadata: instances are to come with their metadata.
        above: the rows above are to come also where the path names them.
    """

    level: Level
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    limit: int = 100
    offset: int = 0
    offset_from_utc: int | None = None
    metadata: bool = False
    above: bool = False


@dataclass(frozen=True, slots=True)
class StudyRow:
    """A study.

    Attributes:
        modalities: Modalities in Study (0008,0061).
        sop_classes: SOP Classes in Study (0008,0062).
        series: how many.
        instances: how many.
        change: differs after everything that was stored into it, replaced or deleted.
        attributes: a DICOM JSON object of patient and study, without what the fields above tell.
    """

    study_instance_uid: str
    modalities: tuple[str, ...]
    sop_classes: tuple[str, ...]
    series: int
    instances: int
    change: int
    attributes: bytes


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """A series; fields as in `StudyRow`."""

    study_instance_uid: str
    series_instance_uid: str
    modality: str
    instances: int
    change: int
    attributes: bytes


@dataclass(frozen=True, slots=True)
class InstanceRow:
    """An instance.

    Attributes:
        digest: sha256 of its object, hex: the object's name.
        size: of it, in bytes.
        metadata: a DICOM JSON object; empty where only the light row was asked for.
        layout: for `services.dicom.layout.Layout.decode`; empty likewise.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    transfer_syntax_uid: str
    instance_number: int | None
    rows: int | None
    columns: int | None
    bits_allocated: int | None
    number_of_frames: int | None
    digest: str
    size: int
    stored_at: datetime
    metadata: bytes = b""
    layout: bytes = b""


@dataclass(frozen=True, slots=True)
class Found:
    """One answer of a search: the row of the level, and the rows above it that the path does not name."""

    study: StudyRow | None = None
    series: SeriesRow | None = None
    instance: InstanceRow | None = None


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata of a series: one DICOM JSON object for each instance, by Instance Number."""

    change: int
    instances: tuple[bytes, ...]


def series_digest(instances: Iterable[tuple[str, str]]) -> str:
    """Gives the digest of an instance set: sha256 over the sorted lines `<SOP Instance UID> <sha256>\\n`, hex.

    Args:
        instances: SOP Instance UID and sha256 (hex) of each, in any order.
    """
    lines = sorted(f"{sop_instance_uid} {digest}\n" for sop_instance_uid, digest in instances)
    return hashlib.sha256("".join(lines).encode("ascii")).hexdigest()
