"""What happened to instances, as values: changes in their order, what was erased, what is kept as evidence."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class ChangeKind(StrEnum):
    """What happened to an instance."""

    CREATE = "create"
    UPDATE = "update"
    """Other bytes are served under its SOP Instance UID from now on."""
    DELETE = "delete"


class ChangeState(StrEnum):
    """What a change is worth now."""

    CURRENT = "current"
    REPLACED = "replaced"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Change:
    """Instances of a series that changed together.

    Attributes:
        instances: SOP Instance UID and sha256 (hex) of each.
    """

    kind: ChangeKind
    study_instance_uid: str
    series_instance_uid: str
    instances: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class FeedEntry:
    """One entry of the feed.

    Attributes:
        number: grows by 1 with every entry.
        state: what became of it since.
        metadata: of the instance as DICOM JSON, if that was asked for and it is current.
    """

    number: int
    at: datetime
    kind: ChangeKind
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    state: ChangeState
    metadata: bytes = b""


@dataclass(frozen=True, slots=True)
class ErasedSeries:
    """What was erased of a series.

    Attributes:
        instances: SOP Instance UID and sha256 (hex) of each.
        whole: nothing is left of the series.
    """

    study_instance_uid: str
    series_instance_uid: str
    instances: tuple[tuple[str, str], ...]
    whole: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    """An object that is kept beside the one which is served.

    Attributes:
        digest: sha256 of it, hex: the object's name.
        size: of it, in bytes.
        times: how often it came.
        was_served: it was served before, and something else took its place.
    """

    sop_instance_uid: str
    digest: str
    size: int
    study_instance_uid: str
    series_instance_uid: str
    first_seen_at: datetime
    times: int
    was_served: bool
