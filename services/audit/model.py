"""The log: what a record's bytes are, what it is found by, and what may be wrong with it. Pure functions.

Record n is leaf n - 1 of the tree; n = 1, 2, 3, … without a gap. The tree holds a commitment to the record
(`services.audit.commitments`), so that its content can be erased and the tree stays.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum

from services.audit import commitments
from services.contracts.events import Action, AuditRecorded

_INDEX_CHARACTERS = 256
"""Of a column that is searched: PostgreSQL limits what an index holds. The record itself is whole."""


@dataclass(frozen=True, slots=True)
class Index:
    """What a record is found by: copies out of the record, compared with it when the log is verified."""

    record_id: str
    at: datetime | None = None
    action: str = ""
    caller: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    job_id: str = ""
    destination: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record in its place. Of one that was erased, `record` and `salt` are gone, and all of the index but the id."""

    seq: int
    record: bytes | None
    salt: bytes | None
    leaf: bytes
    index: Index


class Flaw(StrEnum):
    """What is wrong at a record."""

    GAP = "gap"
    """It is not there, and later ones are."""
    CONTENT = "content"
    """Its content is not what the tree has a commitment to."""
    INDEX = "index"
    """It is whole, but would be found by something else than what it says."""
    ERASED = "erased"
    """Its content is gone, and no record tells who erased it."""
    CUT = "cut"
    """It was there when the log was last signed, and is not any more: records at the end were taken off."""
    TREE = "tree"
    """The tree over the records is not the one that the log had, or that it has signed."""
    TILE = "tile"
    """The tile or bundle with its hash is missing, or says something else."""
    CHECKPOINT = "checkpoint"
    """The signed checkpoint is missing, or not signed by the log."""


@dataclass(frozen=True, slots=True)
class Break:
    """The first record at which the log does not hold; `until` is another where it is one of several."""

    seq: int
    flaw: Flaw
    until: int = 0


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which records; an empty field means any.

    Attributes:
        patient_id: whose studies; the log itself holds no patient, the archive knows them.
        studies: any of these.
        since: not before this time.
        until: before this time.
        after: only records of a smaller sequence number, for the next page; 0 for the first.
    """

    patient_id: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    job_id: str = ""
    caller: str = ""
    action: str = ""
    record_id: str = ""
    destination: str = ""
    since: datetime | None = None
    until: datetime | None = None
    after: int = 0
    limit: int = 100
    studies: tuple[str, ...] = ()


def canonical(record: AuditRecorded) -> bytes:
    """The record's one form in bytes: JSON, keys sorted, no spaces, UTF-8 (as RFC 8785 has it for such values)."""
    values = asdict(record)
    del values["settings"]  # digests are for comparing, not for keeping
    return json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def index_of(record: bytes) -> Index:
    """What a record is found by."""
    values = json.loads(record)

    def searched(name: str) -> str:
        return str(values.get(name, "")).replace("\x00", "\ufffd")[:_INDEX_CHARACTERS]

    return Index(
        record_id=searched("record_id"),
        at=moment(str(values.get("at", ""))),
        action=searched("action"),
        caller=searched("caller"),
        study_instance_uid=searched("study_instance_uid"),
        series_instance_uid=searched("series_instance_uid"),
        job_id=searched("job_id"),
        destination=searched("destination"),
    )


def moment(text: str) -> datetime | None:
    """The time that an RFC 3339 text names; UTC where it names no zone; `None` if it is none."""
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def entries(after: int, records: Iterable[bytes]) -> list[Entry]:
    """The entries of more records, in order, each with a salt of its own."""
    found = []
    for seq, record in enumerate(records, after + 1):
        salt = commitments.new_salt()
        found.append(Entry(seq, record, salt, commitments.commit(salt, record), index_of(record)))
    return found


def flaw_of(entry: Entry) -> Flaw | None:
    """What is wrong with an entry as it stands, without a look at the tree."""
    if entry.record is None and entry.salt is None:
        return None if entry.index == Index(entry.index.record_id) else Flaw.INDEX
    if entry.record is None or entry.salt is None or len(entry.salt) != commitments.SALT_BYTES:
        return Flaw.CONTENT
    if commitments.commit(entry.salt, entry.record) != entry.leaf:
        return Flaw.CONTENT
    return None if entry.index == _index_or_none(entry.record) else Flaw.INDEX


def _index_or_none(record: bytes) -> Index | None:
    try:
        return index_of(record)
    except (ValueError, AttributeError):  # not JSON, or no object: it cannot have been written so
        return None


def erased_by(entry: Entry) -> str:
    """The id of the record that this one tells the erasure of; "" if it tells of none."""
    if entry.record is None or entry.index.action != Action.AUDIT_ERASE:
        return ""
    return str(json.loads(entry.record).get("about", ""))
