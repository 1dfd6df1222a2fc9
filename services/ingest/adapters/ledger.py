"""The ledger in PostgreSQL, by group commit: what waits while one transaction commits goes into the next one.

So the price of a commit is shared under load and nobody waits without it, and instances of one series, which all change
the same rows, do not queue up behind one another's commits.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Sequence, Set
from contextvars import Context
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import asyncpg

from services.chassis import telemetry
from services.chassis.bus import headers_of
from services.chassis.database import AWAY
from services.chassis.outbox import Outbox
from services.contracts.events import Event
from services.ingest.model import Offer, changed, sender_of, told
from services.store import changes, index
from services.store.errors import IndexUnavailable
from services.store.index import Connection, RacedError
from services.store.model import Policy, Written

_BATCH = 64
_TRIES = 5
_NOTED = 10_000

_TELL = """
WITH touched AS (
    INSERT INTO index.settling (series, pending, touched_at, traceparent, sender)
    SELECT series, true, clock_timestamp(), trace, sender
    FROM unnest($4::bigint[], $5::text[], $6::text[]) AS t(series, trace, sender)
    ON CONFLICT (series) DO UPDATE SET pending = true, touched_at = excluded.touched_at,
        traceparent = excluded.traceparent, sender = excluded.sender
)
INSERT INTO index.outbox (subject, data, headers) SELECT * FROM unnest($1::text[], $2::bytea[], $3::jsonb[])
"""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """Something to write, and who waits for it."""

    offer: Offer | None
    fact: Event | None
    trace: dict[str, str]
    written: asyncio.Future[Written] = field(compare=False)


class PostgresLedger:
    """`ports.Ledger` in the schema `index`."""

    def __init__(
        self, pool: asyncpg.Pool, outbox: Outbox, same: index.Same, policy: Policy = Policy.KEEP_FIRST
    ) -> None:
        """Write through `pool`, and let the relay of `outbox` know.

        Args:
            same: tells equal instances of other bytes.
            policy: for other bytes that are another instance.
        """
        self._pool = pool
        self._outbox = outbox
        self._same = same
        self._policy = policy
        self._queue: deque[_Waiting] = deque()
        self._writing: asyncio.Task[None] | None = None
        self._noted: set[tuple[int, UUID]] = set()  # spares a statement for every batch but the first of a delivery

    async def record(self, offer: Offer) -> Written:
        """See `ports.Ledger.record`."""
        return await self._wait(offer, None)

    async def say(self, event: Event) -> None:
        """See `ports.Ledger.say`."""
        await self._wait(None, event)

    async def _wait(self, offer: Offer | None, fact: Event | None) -> Written:
        waiting = _Waiting(offer, fact, telemetry.inject(), asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._writing is None or self._writing.done():
            # In a context of its own: it writes for many, and must not go on in the trace of whoever came first.
            self._writing = asyncio.create_task(self._write(), context=Context())
        return await waiting.written

    async def _write(self) -> None:
        while self._queue:
            batch = [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
            await self._settle(batch)

    async def _settle(self, batch: Sequence[_Waiting]) -> None:
        """Write a batch and tell everybody who waits for it."""
        try:
            results = await self._patiently(batch)
        except AWAY as error:
            for waiting in batch:
                _fail(waiting, IndexUnavailable(type(error).__name__))
        except Exception as error:  # noqa: BLE001  # whoever waits has to hear of it, whatever it is
            if len(batch) == 1:
                _fail(batch[0], error)
                return
            # One of them is at fault: the others must not suffer from the company.
            for waiting in batch:
                await self._settle([waiting])
        else:
            self._outbox.wake()
            for waiting, written in zip(batch, results, strict=True):
                if not waiting.written.done():
                    waiting.written.set_result(written)

    async def _patiently(self, batch: Sequence[_Waiting]) -> list[Written]:
        for _ in range(_TRIES):
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    written, touched = await _written(connection, batch, self._noted, self._same, self._policy)
            except (RacedError, asyncpg.DeadlockDetectedError, asyncpg.ForeignKeyViolationError):
                continue  # another process was there first: what it wrote, or erased, is visible now
            if len(self._noted) > _NOTED:
                self._noted.clear()
            self._noted |= touched
            return written
        raise IndexUnavailable("contention")


async def _written(
    connection: Connection,
    batch: Sequence[_Waiting],
    noted: Set[tuple[int, UUID]],
    same: index.Same,
    policy: Policy,
) -> tuple[list[Written], set[tuple[int, UUID]]]:
    """Write a batch in the open transaction; gives what became of each, and which delivery has changed which series.

    Args:
        noted: what is known already of deliveries and series.
    """
    offers = [(waiting, waiting.offer) for waiting in batch if waiting.offer is not None]
    recorded = await index.record(connection, [offer.entry for _, offer in offers], same, policy) if offers else []
    results = {id(waiting): result for (waiting, _), result in zip(offers, recorded, strict=True)}
    last_of: dict[int, tuple[str, str]] = {}  # of each series: trace and sender of what came last
    touched: set[tuple[int, UUID]] = set()
    for (waiting, offer), result in zip(offers, recorded, strict=True):
        if result.series is not None:
            last_of[result.series] = waiting.trace.get("traceparent", ""), sender_of(offer.principal)
            touched.add((result.series, offer.delivery))
    if touched - noted:
        await _note(connection, sorted(touched - noted))
    outcomes = [(offer, result.written) for (_, offer), result in zip(offers, recorded, strict=True)]
    traces = {offer.trace_id: waiting.trace for waiting, offer in offers}
    facts = [(fact, traces[trace_id]) for trace_id, fact in told(outcomes)]
    facts += [(waiting.fact, waiting.trace) for waiting in batch if waiting.fact is not None]
    rows = [
        (fact.subject, fact.to_bytes(), json.dumps(headers_of(fact.schema, str(uuid4())) | trace))
        for fact, trace in facts
    ]
    ordered = sorted(last_of.items())
    await connection.execute(
        _TELL,
        *(list(column) for column in zip(*rows, strict=True)),
        [series for series, _ in ordered],
        [trace for _, (trace, _) in ordered],
        [sender for _, (_, sender) in ordered],
    )
    await changes.note(connection, changed(outcomes))
    return [results[id(waiting)].written if waiting.offer else Written.UNCHANGED for waiting in batch], touched


async def _note(connection: Connection, touched: Sequence[tuple[int, UUID]]) -> None:
    """Note which delivery has changed which series."""
    series, deliveries = zip(*touched, strict=True)
    await connection.execute(
        "INSERT INTO index.delivery (id) SELECT DISTINCT unnest($1::uuid[]) ON CONFLICT (id) DO NOTHING", deliveries
    )
    await connection.execute(
        "INSERT INTO index.delivery_series (series, delivery) SELECT * FROM unnest($1::bigint[], $2::uuid[])"
        " ON CONFLICT DO NOTHING",
        series,
        deliveries,
    )


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.written.done():
        waiting.written.set_exception(error)
