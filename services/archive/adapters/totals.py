"""Totals of accesses that are not over yet, in PostgreSQL: one statement a second while there is something."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager

import asyncpg

from services.chassis.database import AWAY
from services.contracts.events import AuditRecorded
from services.store.errors import IndexUnavailable


class PostgresTotals:
    """`Totals` in the schema `archive`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def keep(self, totals: Iterable[AuditRecorded]) -> None:
        """See `Totals.keep`."""
        rows = [(each.record_id, each.to_bytes()) for each in totals]
        async with _translated():
            await self._pool.execute(
                "INSERT INTO access_total (record_id, event) SELECT * FROM unnest($1::text[], $2::bytea[])"
                " ON CONFLICT (record_id) DO UPDATE SET event = excluded.event, kept_at = now()",
                [record_id for record_id, _ in rows],
                [event for _, event in rows],
            )

    async def forget(self, record_ids: Sequence[str]) -> None:
        """See `Totals.forget`."""
        async with _translated():
            await self._pool.execute("DELETE FROM access_total WHERE record_id = ANY($1::text[])", list(record_ids))

    async def left(self, seconds: float) -> list[AuditRecorded]:
        """See `Totals.left`."""
        async with _translated():
            rows = await self._pool.fetch(
                "SELECT event FROM access_total WHERE kept_at < now() - make_interval(secs => $1) LIMIT 1000", seconds
            )
        return [AuditRecorded.from_bytes(row["event"]) for row in rows]


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except AWAY as error:
        raise IndexUnavailable(type(error).__name__) from error
