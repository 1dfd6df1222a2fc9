"""Writing the index: some instances at a time, each either stored, unchanged, or other than what is there.

The caller opens the transaction, so that its own rows and outgoing facts commit with these. Locks are taken in the
order of UIDs, studies first: any number of processes may write at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from services.store import columns, conflicts, erasing
from services.store.model import Entry, Policy, Recorded, Written

Connection = asyncpg.Connection | PoolConnectionProxy
KeyT = TypeVar("KeyT", bound=Hashable)

_INSTANCE_TYPES = (
    *("text", "text", "text", "bigint", "integer", "integer", "integer", "integer"),
    *("bytea", "bigint", "bytea", "bytea"),
)


def _arguments(types: Sequence[str], first: int) -> str:
    return ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(types, start=first))


def _storing(unless: str = "") -> str:
    return f"""
WITH stored AS (
    INSERT INTO index.instance (series, {", ".join(columns.INSTANCE_COLUMNS)})
    SELECT * FROM unnest($1::bigint[], {_arguments(_INSTANCE_TYPES, 2)})
    {unless}
    RETURNING series, sop_class_uid
), in_series AS (
    SELECT series AS id, count(*) AS n FROM stored GROUP BY series
), in_study AS (
    SELECT se.study AS id, count(*) AS n, array_agg(DISTINCT stored.sop_class_uid) AS classes
    FROM stored JOIN index.series se ON se.id = stored.series GROUP BY se.study
), counted_series AS (
    UPDATE index.series se SET instance_count = se.instance_count + a.n, change = nextval('index.change_number')
    FROM in_series a WHERE se.id = a.id RETURNING 1
), counted_study AS (
    UPDATE index.study st SET instance_count = st.instance_count + a.n, change = nextval('index.change_number'),
        sop_classes = CASE WHEN st.sop_classes @> a.classes THEN st.sop_classes
            ELSE ARRAY(SELECT DISTINCT c FROM unnest(st.sop_classes || a.classes) AS c ORDER BY c) END
    FROM in_study a WHERE st.id = a.id RETURNING 1
)"""  # noqa: S608  # names of columns


_STORE = _storing("ON CONFLICT (sop_instance_uid) DO NOTHING") + "SELECT count(*) FROM stored"  # noqa: S608  # as above
STORE_NEW = _storing()
"""The beginning of a statement that stores `stored_rows` (`$1` to `$13`), all of which have to be new."""
STORED_NEW = "(SELECT count(*) FROM counted_series) + (SELECT count(*) FROM counted_study) > 0"
"""What is true behind `STORE_NEW` once its rows are locked: whatever is locked after them has to ask for it."""


@dataclass(frozen=True, slots=True)
class _Place:
    """What is there for an entry: digest and transfer syntax under its SOP Instance UID, the key of its series."""

    digest: str | None
    transfer_syntax: str
    series: int | None


class RacedError(Exception):
    """Another process stored one of these instances meanwhile: roll back and do it all again."""


Same = Callable[[str, str], Awaitable[bool]]
"""Says whether the objects of two digests hold the same instance."""


async def bytes_alone(_: str, __: str) -> bool:
    """Other bytes are another instance."""
    return False


async def record(
    connection: Connection,
    entries: Sequence[Entry],
    same: Same = bytes_alone,
    policy: Policy = Policy.KEEP_FIRST,
) -> list[Recorded]:
    """Write instances into the index, in the transaction that is open on `connection`.

    Args:
        entries: their objects are durable. Several may have the same SOP Instance UID: the first of them counts.
        same: is asked where other bytes are there under the same UIDs and in the same transfer syntax.
        policy: for other bytes that are another instance.

    Returns:
        What became of each, in the same order.

    Raises:
        RacedError: the transaction has to be rolled back; the same call in a new one will do.
    """
    places = await _look_up(connection, entries)
    kept = {
        entry.sop_instance_uid: (place.digest, place.transfer_syntax)
        for entry, place in zip(entries, places, strict=True)
        if place.digest
    }
    fresh: dict[str, int] = {}
    for position, (entry, place) in enumerate(zip(entries, places, strict=True)):
        if place.digest is None:
            fresh.setdefault(entry.sop_instance_uid, position)
            kept.setdefault(entry.sop_instance_uid, (entry.digest, entry.transfer_syntax_uid))
    series_of = await _store(connection, [(entries[at], places[at]) for at in fresh.values()]) if fresh else {}
    results: list[Recorded] = []
    discarded: list[tuple[str, str]] = []
    for position, entry in enumerate(entries):
        uid = entry.sop_instance_uid
        if fresh.get(uid) == position:
            results.append(Recorded(Written.STORED, series_of[uid]))
        elif await _is_kept(entry, *kept[uid], same):
            results.append(Recorded(Written.UNCHANGED))
            if entry.digest != kept[uid][0]:
                discarded.append((uid, entry.digest))
        else:
            match policy:
                case Policy.KEEP_FIRST:
                    await conflicts.note(connection, entry)
                    results.append(Recorded(Written.KEPT_FIRST))
                case Policy.KEEP_LAST:
                    series = await replace(connection, entry, kept[uid][0])
                    results.append(Recorded(Written.REPLACED, series))
                    kept[uid] = (entry.digest, entry.transfer_syntax_uid)
                case Policy.REFUSE:
                    results.append(Recorded(Written.REFUSED))
                    discarded.append((uid, entry.digest))
    await erasing.discard(connection, discarded)
    return results


async def replace(connection: Connection, entry: Entry, digest: str) -> int:
    """Serve an instance in the place of what is served under its SOP Instance UID, which becomes evidence.

    Args:
        entry: it may be of another series, also of another study: then it goes there.
        digest: sha256 of what is served now, hex.

    Returns:
        The key of the series that has it now.

    Raises:
        RacedError: something else is served by now.
    """
    uid = entry.sop_instance_uid
    await connection.execute(
        "SELECT FROM index.study WHERE study_instance_uid = $1 OR id = (SELECT se.study FROM index.series se"
        " JOIN index.instance i ON i.series = se.id WHERE i.sop_instance_uid = $2)"
        " ORDER BY study_instance_uid FOR NO KEY UPDATE",
        entry.study_instance_uid,
        uid,
    )
    if not await conflicts.note_served(connection, uid, digest):
        raise RacedError
    await conflicts.forget(connection, uid, entry.digest)
    left = await connection.fetchval(
        "DELETE FROM index.instance WHERE sop_instance_uid = $1 AND digest = $2 RETURNING series",
        uid,
        bytes.fromhex(digest),
    )
    if left is None:
        raise RacedError
    (place,) = await _look_up(connection, [entry])
    series_of = await _store(connection, [(entry, place)])
    await _retell(connection, entry, series_of[uid])
    # Last, so that a series of one instance keeps its row, and its revisions.
    await erasing.let_go(connection, {left: 1})
    return series_of[uid]


async def _retell(connection: Connection, entry: Entry, series: int) -> None:
    """What replaces tells of study and series from now on: a correction is to be found by what it says."""
    for table, key, names, row in (
        ("series", "$1", columns.SERIES_COLUMNS, columns.series_row(entry)),
        ("study", "(SELECT study FROM index.series WHERE id = $1)", columns.STUDY_COLUMNS, columns.study_row(entry)),
    ):
        told = ", ".join(names)
        values = columns.placeholders(names, first=2)
        await connection.execute(
            f"UPDATE index.{table} SET ({told}) = ROW ({values}) WHERE id = {key}",  # noqa: S608  # names of columns
            series,
            *row,
        )


async def _is_kept(entry: Entry, digest: str, transfer_syntax_uid: str, same: Same) -> bool:
    if entry.digest == digest:
        return True
    return entry.transfer_syntax_uid == transfer_syntax_uid and await same(digest, entry.digest)


async def _look_up(connection: Connection, entries: Sequence[Entry]) -> list[_Place]:
    rows = await connection.fetch(
        "SELECT encode(i.digest, 'hex') AS digest, coalesce(i.transfer_syntax_uid, '') AS transfer_syntax,"
        " st.id AS study, se.id AS series"
        " FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS e(study, series, instance, position)"
        " LEFT JOIN index.instance i ON i.sop_instance_uid = e.instance"
        " LEFT JOIN index.study st ON st.study_instance_uid = e.study"
        " LEFT JOIN index.series se ON se.study = st.id AND se.series_instance_uid = e.series ORDER BY e.position",
        [entry.study_instance_uid for entry in entries],
        [entry.series_instance_uid for entry in entries],
        [entry.sop_instance_uid for entry in entries],
    )
    return [_Place(row["digest"], row["transfer_syntax"], row["series"]) for row in rows]


async def _store(connection: Connection, placed: Sequence[tuple[Entry, _Place]]) -> dict[str, int]:
    """Insert instances, with the rows above them where they are new; gives the key of the series of each."""
    made: dict[tuple[str, str], int] = {}
    homeless = [entry for entry, place in placed if place.series is None]
    if homeless:
        studies = await _studies(connection, homeless)
        series = await _series(connection, homeless, studies)
        made = {
            (e.study_instance_uid, e.series_instance_uid): series[studies[e.study_instance_uid], e.series_instance_uid]
            for e in homeless
        }
    series_of = {
        entry.sop_instance_uid: place.series or made[entry.study_instance_uid, entry.series_instance_uid]
        for entry, place in placed
    }
    stored = await connection.fetchval(_STORE, *stored_rows([entry for entry, _ in placed], series_of))
    if stored < len(placed):
        raise RacedError
    return series_of


def stored_rows(entries: Sequence[Entry], series_of: Mapping[str, int]) -> list[list[object]]:
    """Arguments for the rows of instances, column by column, in the order in which they are locked.

    Args:
        series_of: the key of the series of each, by SOP Instance UID.
    """
    ordered = sorted(entries, key=lambda entry: entry.sop_instance_uid)
    return [
        [series_of[entry.sop_instance_uid] for entry in ordered],
        *_transposed(map(columns.instance_row, ordered)),
    ]


async def _studies(connection: Connection, entries: Sequence[Entry]) -> dict[str, int]:
    """Keys of the studies, made where they are new; locked, so that their numbers can be changed."""
    first = _first_of(entries, lambda entry: entry.study_instance_uid)
    found = await _locked_studies(connection, first)
    missing = sorted(first.keys() - found.keys())
    if missing:
        names = ", ".join(columns.STUDY_COLUMNS)
        await connection.execute(
            f"INSERT INTO index.study ({names}) {columns.unnested(columns.STUDY_COLUMNS)}"  # names of columns
            " ON CONFLICT (study_instance_uid) DO NOTHING",
            *_transposed(columns.study_row(first[uid]) for uid in missing),
        )
        found |= await _locked_studies(connection, missing)
    return found


async def _locked_studies(connection: Connection, uids: Iterable[str]) -> dict[str, int]:
    rows = await connection.fetch(
        "SELECT study_instance_uid, id FROM index.study WHERE study_instance_uid = ANY($1::text[])"
        " ORDER BY study_instance_uid FOR NO KEY UPDATE",
        list(uids),
    )
    return {row[0]: row[1] for row in rows}


async def _series(
    connection: Connection, entries: Sequence[Entry], studies: Mapping[str, int]
) -> dict[tuple[int, str], int]:
    """Keys of the series by study and UID, made where they are new. The lock on the study guards them."""
    first = _first_of(entries, lambda entry: (studies[entry.study_instance_uid], entry.series_instance_uid))
    rows = await connection.fetch(
        "SELECT s.study, s.series_instance_uid, s.id FROM index.series s"
        " JOIN unnest($1::bigint[], $2::text[]) AS wanted(study, uid)"
        " ON s.study = wanted.study AND s.series_instance_uid = wanted.uid",
        [study for study, _ in first],
        [uid for _, uid in first],
    )
    found = {(row[0], row[1]): row[2] for row in rows}
    names = ", ".join(columns.SERIES_COLUMNS)
    arguments = columns.placeholders(columns.SERIES_COLUMNS, first=2)
    for key in sorted(first.keys() - found.keys()):
        row = columns.series_row(first[key])
        found[key] = await connection.fetchval(
            f"INSERT INTO index.series (study, {names}) VALUES ($1, {arguments}) RETURNING id",  # noqa: S608  # names of columns
            key[0],
            *row,
        )
        await connection.execute(
            "UPDATE index.study SET series_count = series_count + 1,"
            " modalities = ARRAY(SELECT DISTINCT m FROM unnest(modalities || $2::text) AS m WHERE m <> '' ORDER BY m)"
            " WHERE id = $1",
            key[0],
            row[columns.SERIES_COLUMNS.index("modality")],
        )
    return found


def _first_of(entries: Iterable[Entry], key: Callable[[Entry], KeyT]) -> dict[KeyT, Entry]:
    first: dict[KeyT, Entry] = {}
    for entry in entries:
        first.setdefault(key(entry), entry)
    return first


def _transposed(rows: Iterable[columns.Row]) -> list[list[object]]:
    return [list(column) for column in zip(*rows, strict=True)]
