"""The outbox: a service commits its rows and its outgoing facts in one transaction; a relay says them afterwards.

Published rows are deleted after the stream has them; `Nats-Msg-Id` is the row's id, so a crash between the two says
nothing twice within the stream's duplicate window.
"""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from uuid import uuid4

import asyncpg
from opentelemetry.trace import SpanKind

from services.chassis import telemetry
from services.chassis.bus import Bus, Event, headers_of
from services.chassis.faults import PassingFault
from services.chassis.log import Log

CREATE_TABLE = """
CREATE TABLE outbox (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject text NOT NULL,
    data bytea NOT NULL,
    headers jsonb NOT NULL
)
"""
"""For the first migration of a service that says facts from a transaction."""

_BATCH = 250
_PAUSE_SECONDS = 0.1


class Outbox:
    """The outgoing facts of one service's schema."""

    def __init__(self, pool: asyncpg.Pool, bus: Bus, log: Log, *, pause_seconds: float = _PAUSE_SECONDS) -> None:
        """Facts in `pool`'s schema, for `bus`.

        Args:
            pause_seconds: how long facts that follow closely on others wait, to be said together.
        """
        self._pause_seconds = pause_seconds
        self._pool = pool
        self._bus = bus
        self._log = log
        self._woken = asyncio.Event()

    async def append(
        self,
        connection: asyncpg.Connection | asyncpg.pool.PoolConnectionProxy,
        event: Event,
        *,
        message_id: str | None = None,
    ) -> None:
        """Add a fact to the transaction that is open on `connection`; call `wake` after its commit."""
        with telemetry.span(f"{event.subject} publish", kind=SpanKind.PRODUCER):
            headers = headers_of(event.schema, message_id or str(uuid4()))
        await connection.execute(
            "INSERT INTO outbox (subject, data, headers) VALUES ($1, $2, $3)",
            event.subject,
            event.to_bytes(),
            json.dumps(headers),
        )

    def wake(self) -> None:
        """Let the relay look now; without it, it looks once a second."""
        self._woken.set()

    async def relay(self, stopping: asyncio.Event) -> None:
        """Say what is committed, in order, until `stopping`."""
        while not stopping.is_set():
            self._woken.clear()
            began = time.monotonic()
            try:
                if await self._relay_batch() == _BATCH:
                    continue
            except (PassingFault, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                self._log.warning("outbox.waiting", error=type(error).__name__)
                await asyncio.sleep(0.5)
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._woken.wait()
            # The first fact at once, those that follow closely together: a relay costs two commits.
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, began + self._pause_seconds - time.monotonic())):
                    await stopping.wait()
        with suppress(PassingFault, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            await self._relay_batch()

    async def _relay_batch(self) -> int:
        async with self._pool.acquire() as connection, connection.transaction():
            rows = await connection.fetch(
                "SELECT position, subject, data, headers FROM outbox ORDER BY position LIMIT $1 FOR UPDATE SKIP LOCKED",
                _BATCH,
            )
            if rows:
                # At once: the stream keeps the order in which one connection published.
                await asyncio.gather(
                    *(self._bus.publish(row["subject"], row["data"], json.loads(row["headers"])) for row in rows)
                )
                await connection.execute(
                    "DELETE FROM outbox WHERE position = ANY($1::bigint[])", [row["position"] for row in rows]
                )
            return len(rows)
