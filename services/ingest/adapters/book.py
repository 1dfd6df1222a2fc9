"""Quiet series in PostgreSQL. A claim is a row lock: a process that is killed lets go of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from services.chassis.database import AWAY
from services.chassis.outbox import Outbox
from services.contracts.events import SeriesSettled
from services.ingest.model import Quiet
from services.store.errors import IndexUnavailable
from services.store.index import Connection

_NEXT = """
SELECT s.series, s.revision, coalesce(encode(s.digest, 'hex'), '') AS digest, s.traceparent, s.sender
FROM index.settling s
WHERE s.pending
  AND s.touched_at <= clock_timestamp() - make_interval(secs => $1)
  AND NOT EXISTS (
    SELECT FROM index.delivery_series ds JOIN index.delivery d ON d.id = ds.delivery
    WHERE ds.series = s.series AND d.closed_at IS NULL AND d.seen_at > clock_timestamp() - make_interval(secs => $2)
  )
ORDER BY s.touched_at
LIMIT 1
FOR UPDATE OF s SKIP LOCKED
"""


class PostgresBook:
    """`ports.Book` in the schema `index`."""

    def __init__(self, pool: asyncpg.Pool, outbox: Outbox, *, settle_seconds: float, lost_seconds: float) -> None:
        """Series are quiet `settle_seconds` after the last store, once no living delivery touches them."""
        self._pool = pool
        self._outbox = outbox
        self._settle_seconds = settle_seconds
        self._lost_seconds = lost_seconds

    @asynccontextmanager
    async def claim(self) -> AsyncIterator[PostgresClaim | None]:
        """See `ports.Book.claim`."""
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                row = await connection.fetchrow(_NEXT, self._settle_seconds, self._lost_seconds)
                # The lock is ours: what is read from here on includes every store that has touched the series.
                yield await self._claimed(connection, row) if row else None
        except AWAY as error:
            raise IndexUnavailable(type(error).__name__) from error
        self._outbox.wake()

    async def _claimed(self, connection: Connection, row: asyncpg.Record) -> PostgresClaim:
        names = await connection.fetchrow(
            "SELECT st.study_instance_uid, se.series_instance_uid, coalesce(e.revision, 0) AS before"
            " FROM index.series se JOIN index.study st ON st.id = se.study LEFT JOIN index.erased_series e"
            " ON (e.study_instance_uid, e.series_instance_uid) = (st.study_instance_uid, se.series_instance_uid)"
            " WHERE se.id = $1",
            row["series"],
        )
        assert names is not None  # noqa: S101  # a foreign key
        instances = await connection.fetch(
            "SELECT sop_instance_uid, encode(digest, 'hex') FROM index.instance WHERE series = $1", row["series"]
        )
        quiet = Quiet(
            study_instance_uid=names["study_instance_uid"],
            series_instance_uid=names["series_instance_uid"],
            revision=row["revision"] or names["before"],
            digest=row["digest"],
            instances=tuple((uid, digest) for uid, digest in instances),
            trace={"traceparent": row["traceparent"]} if row["traceparent"] else {},
            sender=row["sender"],
        )
        return PostgresClaim(connection, self._outbox, row["series"], quiet)


class PostgresClaim:
    """`ports.Claim`: a lock, and the transaction that holds it."""

    def __init__(self, connection: Connection, outbox: Outbox, series: int, quiet: Quiet) -> None:
        self._connection = connection
        self._outbox = outbox
        self._series = series
        self._quiet = quiet

    @property
    def quiet(self) -> Quiet:
        """See `ports.Claim.quiet`."""
        return self._quiet

    async def settle(self, fact: SeriesSettled | None) -> None:
        """See `ports.Claim.settle`."""
        if fact is None:
            await self._connection.execute("UPDATE index.settling SET pending = false WHERE series = $1", self._series)
            return
        await self._connection.execute(
            "UPDATE index.settling SET pending = false, revision = $2, digest = $3, settled_at = now()"
            " WHERE series = $1",
            self._series,
            fact.revision,
            bytes.fromhex(fact.digest),
        )
        await self._outbox.append(self._connection, fact)
