"""Open deliveries in PostgreSQL. Their rows are made by the ledger, with the first instance that they bring."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID, uuid4

import asyncpg

from services.chassis.database import AWAY
from services.chassis.log import Log

_KEPT = "1 day"
"""How long a closed delivery stays, for an operator who looks for it."""


class PostgresDeliveries:
    """`ports.Deliveries` in the schema `index`. `beat` has to run beside it."""

    def __init__(self, pool: asyncpg.Pool, *, lost_seconds: float, log: Log) -> None:
        """Deliveries whose process gives no sign of life for `lost_seconds` are over."""
        self._pool = pool
        self._lost_seconds = lost_seconds
        self._log = log
        self._open: set[UUID] = set()

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[UUID]:
        """See `ports.Deliveries.opened`."""
        delivery = uuid4()
        self._open.add(delivery)
        try:
            yield delivery
        finally:
            self._open.discard(delivery)
            with suppress(*AWAY):  # not told, it counts as lost after a while: the series settle a little later
                await self._pool.execute("UPDATE index.delivery SET closed_at = now() WHERE id = $1", delivery)

    async def beat(self, stopping: asyncio.Event) -> None:
        """Say of the open deliveries that they are alive, and forget old ones, until `stopping`."""
        while not stopping.is_set():
            try:
                await self._pool.execute(
                    "UPDATE index.delivery SET seen_at = now() WHERE id = ANY($1::uuid[])", list(self._open)
                )
                await self._pool.execute(
                    "DELETE FROM index.delivery WHERE coalesce(closed_at, seen_at) < now() - $1::text::interval", _KEPT
                )
            except AWAY as error:
                self._log.warning("deliveries.waiting", error=type(error).__name__)
            with suppress(TimeoutError):
                async with asyncio.timeout(self._lost_seconds / 4):
                    await stopping.wait()
