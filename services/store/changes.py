"""What happened to instances, in one order: the change feed.

A reader that has seen everything up to a number must never miss one below it. So numbers are taken under a lock that is
held to the commit: the row that counts them. It has to be the last thing that a transaction does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import asyncpg
from asyncpg.pool import PoolConnectionProxy

from services.chassis.database import AWAY
from services.store.errors import IndexUnavailable
from services.store.history import Change, ChangeKind, ChangeState, FeedEntry

_ARGUMENTS: Final = 7


def noting(first: int = 1, after: str = "true") -> str:
    """CTE `counted`, and the statement that writes `noted_rows` down with it.

    Args:
        first: number of its first argument.
        after: SQL that is true, and not before everything else of the statement is done.
    """
    upto, *arrays = (f"${number}" for number in range(first, first + _ARGUMENTS))
    given = ", ".join(
        f"{each}::{kind}[]" for each, kind in zip(arrays, ("bigint", *["text"] * 4, "bytea"), strict=True)
    )
    return f"""counted AS (UPDATE index.change_count SET last = last + {upto} WHERE {after} RETURNING last)
INSERT INTO index.change (last, action, study_instance_uid, series_instance_uid, sop_instance_uids, digests)
SELECT counted.last - {upto} + c.upto, c.action, c.study, c.series, string_to_array(c.instances, ' '), c.digests
FROM counted, unnest({given}) AS c(upto, action, study, series, instances, digests)
"""  # noqa: S608  # numbers


_NOTE = f"WITH {noting()}"
_SINCE = """
WITH page AS (
    SELECT c.last - cardinality(c.sop_instance_uids) + u.position AS number, c.at, c.action, c.study_instance_uid,
        c.series_instance_uid, u.uid, substring(c.digests FROM ((u.position - 1) * 32 + 1)::integer FOR 32) AS digest
    FROM (SELECT * FROM index.change WHERE last > $1 ORDER BY last LIMIT $2) AS c,
        unnest(c.sop_instance_uids) WITH ORDINALITY AS u(uid, position)
    WHERE c.last - cardinality(c.sop_instance_uids) + u.position > $1
    ORDER BY number LIMIT $2
)
SELECT page.number, page.at, page.action, page.study_instance_uid, page.series_instance_uid, page.uid,
    CASE WHEN i.id IS NULL THEN 'deleted' WHEN i.digest = page.digest THEN 'current' ELSE 'replaced' END AS state,
    CASE WHEN $3 AND i.digest = page.digest THEN i.metadata ELSE ''::bytea END AS metadata
FROM page LEFT JOIN index.instance i ON i.sop_instance_uid = page.uid
ORDER BY page.number
"""


async def note(connection: asyncpg.Connection | PoolConnectionProxy, changes: Sequence[Change]) -> None:
    """Write changes down, as the last thing of the transaction that is open on `connection`."""
    if changes:
        await connection.execute(_NOTE, *noted_rows(changes))


def noted_rows(changes: Sequence[Change]) -> list[object]:
    """Arguments for changes, at least one: how many instances, and the rows, column by column."""
    rows, upto = [], 0
    for each in changes:
        upto += len(each.instances)
        uids, digests = zip(*each.instances, strict=True)
        rows.append(
            (
                upto,
                each.kind.value,
                each.study_instance_uid,
                each.series_instance_uid,
                " ".join(uids),
                bytes.fromhex("".join(digests)),
            )
        )
    return [upto, *(list(column) for column in zip(*rows, strict=True))]


class ChangeFeed:
    """The feed, read. All raise `IndexUnavailable` when PostgreSQL does not answer."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        """Read through `pool`, whose role may SELECT in the schema `index`."""
        self._pool = pool

    async def since(self, number: int, limit: int, *, metadata: bool = False) -> list[FeedEntry]:
        """What happened after `number`, at most `limit` entries, in their order."""
        try:
            rows = await self._pool.fetch(_SINCE, number, limit, metadata)
        except AWAY as error:
            raise IndexUnavailable(type(error).__name__) from error
        return [
            FeedEntry(row[0], row[1], ChangeKind(row[2]), row[3], row[4], row[5], ChangeState(row[6]), row[7])
            for row in rows
        ]

    async def last(self) -> int:
        """The number of the last entry; 0 when nothing has happened."""
        try:
            return int(await self._pool.fetchval("SELECT last FROM index.change_count"))
        except AWAY as error:
            raise IndexUnavailable(type(error).__name__) from error
