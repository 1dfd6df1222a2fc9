"""Evidence: other bytes that came under a SOP Instance UID which was taken, or were served under it before."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from services.store.history import Evidence
from services.store.model import Entry

Connection = asyncpg.Connection | PoolConnectionProxy

_COLUMNS = (
    "sop_instance_uid, encode(digest, 'hex') AS digest, bytes, study_instance_uid, series_instance_uid, first_seen_at,"
    " times, was_served"
)


async def note(connection: Connection, entry: Entry) -> None:
    """Note an instance that came and is not served; the same one again is counted."""
    await connection.execute(
        "INSERT INTO index.conflict AS c (sop_instance_uid, digest, bytes, study_instance_uid, series_instance_uid)"
        " VALUES ($1, $2, $3, $4, $5)"
        " ON CONFLICT (sop_instance_uid, digest) DO UPDATE SET times = c.times + 1",
        entry.sop_instance_uid,
        bytes.fromhex(entry.digest),
        entry.size,
        entry.study_instance_uid,
        entry.series_instance_uid,
    )


async def note_served(connection: Connection, sop_instance_uid: str, digest: str) -> bool:
    """Note what is served under a UID, before something else takes its place.

    Returns:
        False: it is not served any more.
    """
    noted = await connection.fetchval(
        "INSERT INTO index.conflict (sop_instance_uid, digest, bytes, study_instance_uid, series_instance_uid,"
        " was_served)"
        " SELECT i.sop_instance_uid, i.digest, i.bytes, st.study_instance_uid, se.series_instance_uid, true"
        " FROM index.instance i JOIN index.series se ON se.id = i.series JOIN index.study st ON st.id = se.study"
        " WHERE i.sop_instance_uid = $1 AND i.digest = $2"
        " ON CONFLICT (sop_instance_uid, digest) DO UPDATE SET was_served = true RETURNING true",
        sop_instance_uid,
        bytes.fromhex(digest),
    )
    return bool(noted)


async def forget(connection: Connection, sop_instance_uid: str, digest: str) -> Evidence | None:
    """Take one out of the list; gives it, if it was there."""
    row = await connection.fetchrow(
        f"DELETE FROM index.conflict WHERE sop_instance_uid = $1 AND digest = $2 RETURNING {_COLUMNS}",  # noqa: S608  # names
        sop_instance_uid,
        bytes.fromhex(digest),
    )
    return Evidence(*row) if row else None


async def find(connection: Connection, sop_instance_uid: str, digest: str) -> Evidence | None:
    """One of the list, or None."""
    row = await connection.fetchrow(
        f"SELECT {_COLUMNS} FROM index.conflict WHERE sop_instance_uid = $1 AND digest = $2",  # noqa: S608  # names
        sop_instance_uid,
        bytes.fromhex(digest),
    )
    return Evidence(*row) if row else None


async def newest(connection: Connection, limit: int, offset: int) -> Sequence[Evidence]:
    """The list, newest first."""
    rows = await connection.fetch(
        f"SELECT {_COLUMNS} FROM index.conflict"  # noqa: S608  # names
        " ORDER BY first_seen_at DESC, sop_instance_uid, digest LIMIT $1 OFFSET $2",
        limit,
        offset,
    )
    return [Evidence(*row) for row in rows]
