"""The chain: what a record's bytes are, how it is linked, and how a break is found. Pure functions.

    hash(n) = SHA-256(hash(n - 1) || record(n)),  hash(0) = 32 zero bytes,  n = 1, 2, 3, … without a gap

A record that is changed, taken out, put in or moved breaks the link at that place. Records cut off at the end break no
link; the head, kept apart, tells of them, and an outside witness of the head (a later issue) of an edited head.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum

from services.contracts.events import AuditRecorded

GENESIS = bytes(32)
"""What the first record is linked to."""

_INDEX_CHARACTERS = 256
"""Of a column that is searched: PostgreSQL limits what an index holds. The record itself is whole."""


@dataclass(frozen=True, slots=True)
class Head:
    """The last link: how many records there are, and the hash of the last."""

    seq: int = 0
    hash: bytes = GENESIS


@dataclass(frozen=True, slots=True)
class Index:
    """What a record is found by: copies out of the record, compared with it when the log is verified."""

    record_id: str
    at: datetime | None
    action: str
    caller: str
    study_instance_uid: str
    series_instance_uid: str
    job_id: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A record in its place in the chain."""

    seq: int
    record: bytes
    prev_hash: bytes
    hash: bytes
    index: Index


class Flaw(StrEnum):
    """What is wrong at a record."""

    GAP = "gap"
    """The sequence jumps: a record was taken out, or one was put in."""
    LINK = "link"
    """It does not name the hash of the record before it."""
    HASH = "hash"
    """Its hash is not that of its bytes."""
    INDEX = "index"
    """It is whole, but would be found by something else than what it says."""
    HEAD = "head"
    """The chain does not end where the head says: records at the end were taken off or put on."""


@dataclass(frozen=True, slots=True)
class Break:
    """The first record at which the chain does not hold."""

    seq: int
    flaw: Flaw


@dataclass(frozen=True, slots=True)
class LogQuery:
    """Which records; an empty field means any.

    Attributes:
        since: not before this time.
        until: before this time.
        after: only records of a smaller sequence number, for the next page; 0 for the first.
    """

    study_instance_uid: str = ""
    series_instance_uid: str = ""
    job_id: str = ""
    caller: str = ""
    action: str = ""
    since: datetime | None = None
    until: datetime | None = None
    after: int = 0
    limit: int = 100


def canonical(record: AuditRecorded) -> bytes:
    """The record's one form in bytes: JSON, keys sorted, no spaces, UTF-8 (as RFC 8785 has it for such values)."""
    return json.dumps(asdict(record), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(prev_hash: bytes, record: bytes) -> bytes:
    """The hash of a record that follows the one of `prev_hash`."""
    return hashlib.sha256(prev_hash + record).digest()


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
    )


def moment(text: str) -> datetime | None:
    """The time that an RFC 3339 text names; UTC where it names no zone; `None` if it is none."""
    try:
        found = datetime.fromisoformat(text)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def extend(head: Head, records: Iterable[bytes]) -> list[Entry]:
    """The entries of more records, in order, after `head`."""
    entries = []
    for record in records:
        entry = Entry(head.seq + 1, record, head.hash, digest(head.hash, record), index_of(record))
        head = Head(entry.seq, entry.hash)
        entries.append(entry)
    return entries


def check(head: Head, entries: Sequence[Entry]) -> Head | Break:
    """The head after `entries`, if they continue `head`; else the first at which they do not."""
    for entry in entries:
        flaw = _flaw(head, entry)
        if flaw:
            return Break(entry.seq, flaw)
        head = Head(entry.seq, entry.hash)
    return head


def _flaw(head: Head, entry: Entry) -> Flaw | None:
    if entry.seq != head.seq + 1:
        return Flaw.GAP
    if entry.prev_hash != head.hash:
        return Flaw.LINK
    if entry.hash != digest(head.hash, entry.record):
        return Flaw.HASH
    if entry.index != _index_or_none(entry.record):
        return Flaw.INDEX
    return None


def _index_or_none(record: bytes) -> Index | None:
    try:
        return index_of(record)
    except (ValueError, AttributeError):  # not JSON, or no object: it cannot have been written so
        return None
