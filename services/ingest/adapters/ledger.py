"""The ledger in PostgreSQL, by group commit: what waits while one transaction commits goes into the next one.

So the price of a commit is shared under load and nobody waits without it, and instances of one series, which all change
the same rows, do not queue up behind one another's commits.

What nearly every instance is, new and of a series that is known, is written by one statement (ADR 26). It finds out by
itself where that is not so, and has done nothing then.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping, Sequence, Set
from contextvars import Context
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import asyncpg

from services.chassis import telemetry
from services.chassis.bus import headers_of
from services.chassis.database import AWAY
from services.chassis.outbox import Outbox
from services.contracts.events import Event
from services.ingest.adapters import statements
from services.ingest.model import Offer, changed, sender_of, told
from services.store import changes, index
from services.store.errors import IndexUnavailable
from services.store.index import Connection, RacedError
from services.store.model import Policy, Recorded, Written

_BATCH = 64
_TRIES = 5
_NOTED = 10_000

_RACED = (asyncpg.DeadlockDetectedError, asyncpg.ForeignKeyViolationError, asyncpg.UniqueViolationError)


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
        self._growing: dict[tuple[str, str], int] = {}  # series to which something new came last, by their UIDs

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
        if await self._at_once(batch):
            return [Written.STORED] * len(batch)
        for _ in range(_TRIES):
            try:
                async with self._pool.acquire() as connection, connection.transaction():
                    recorded, touched = await _written(connection, batch, self._noted, self._same, self._policy)
            except (RacedError, asyncpg.DeadlockDetectedError, asyncpg.ForeignKeyViolationError):
                continue  # another process was there first: what it wrote, or erased, is visible now
            self._remember(batch, recorded, touched)
            return [each.written for each in recorded]
        raise IndexUnavailable("contention")

    async def _at_once(self, batch: Sequence[_Waiting]) -> bool:
        """Write a batch by one statement; whether it could be. If not, nothing is written."""
        offers = [(waiting, waiting.offer) for waiting in batch if waiting.offer is not None]
        growing = {offer.entry.sop_instance_uid: self._growing.get(_whither(offer)) for _, offer in offers}
        series_of = {uid: series for uid, series in growing.items() if series is not None}
        if len(series_of) < len(batch):
            return False
        outcomes = [(offer, Written.STORED) for _, offer in offers]
        last_of = {series_of[offer.entry.sop_instance_uid]: _last(waiting, offer) for waiting, offer in offers}
        touched = {(series_of[offer.entry.sop_instance_uid], offer.delivery) for _, offer in offers} - self._noted
        try:
            await self._pool.execute(
                statements.AT_ONCE,
                *index.stored_rows([offer.entry for _, offer in offers], series_of),
                *_told_rows(batch, outcomes, last_of),
                [series for series, _ in touched],
                [delivery for _, delivery in touched],
                *changes.noted_rows(changed(outcomes)),
            )
        except _RACED:
            return False
        self._note(touched)
        return True

    def _remember(
        self, batch: Sequence[_Waiting], recorded: Sequence[Recorded], touched: Set[tuple[int, UUID]]
    ) -> None:
        self._note(touched)
        for waiting, result in zip(batch, recorded, strict=True):
            if waiting.offer is None:
                continue
            if result.written is Written.STORED and result.series is not None:
                self._growing[_whither(waiting.offer)] = result.series
            else:  # more of what is there already may come: to try it each time would leave dead rows behind
                self._growing.pop(_whither(waiting.offer), None)

    def _note(self, touched: Set[tuple[int, UUID]]) -> None:
        if len(self._noted) > _NOTED:
            self._noted.clear()
            self._growing.clear()
        self._noted |= touched


def _whither(offer: Offer) -> tuple[str, str]:
    return offer.entry.study_instance_uid, offer.entry.series_instance_uid


def _last(waiting: _Waiting, offer: Offer) -> tuple[str, str]:
    """What is kept of what came last to a series: trace and sender."""
    return waiting.trace.get("traceparent", ""), sender_of(offer.principal)


async def _written(
    connection: Connection,
    batch: Sequence[_Waiting],
    noted: Set[tuple[int, UUID]],
    same: index.Same,
    policy: Policy,
) -> tuple[list[Recorded], set[tuple[int, UUID]]]:
    """Write a batch in the open transaction; gives what became of each, and which delivery has changed which series.

    Args:
        noted: what is known already of deliveries and series.
    """
    offers = [(waiting, waiting.offer) for waiting in batch if waiting.offer is not None]
    recorded = await index.record(connection, [offer.entry for _, offer in offers], same, policy) if offers else []
    results = {id(waiting): result for (waiting, _), result in zip(offers, recorded, strict=True)}
    last_of: dict[int, tuple[str, str]] = {}
    touched: set[tuple[int, UUID]] = set()
    for (waiting, offer), result in zip(offers, recorded, strict=True):
        if result.series is not None:
            last_of[result.series] = _last(waiting, offer)
            touched.add((result.series, offer.delivery))
    if touched - noted:
        await _note(connection, sorted(touched - noted))
    outcomes = [(offer, result.written) for (_, offer), result in zip(offers, recorded, strict=True)]
    await connection.execute(statements.TELL, *_told_rows(batch, outcomes, last_of))
    await changes.note(connection, changed(outcomes))
    return [results.get(id(waiting), Recorded(Written.UNCHANGED)) for waiting in batch], touched


def _told_rows(
    batch: Sequence[_Waiting], outcomes: Sequence[tuple[Offer, Written]], last_of: Mapping[int, tuple[str, str]]
) -> list[list[object]]:
    """Arguments of `statements.TELL`: series with trace and sender of what came last to them, and the facts."""
    ordered = sorted(last_of.items())
    traces = {waiting.offer.trace_id: waiting.trace for waiting in batch if waiting.offer is not None}
    facts = [(fact, traces[trace_id]) for trace_id, fact in told(outcomes)]
    facts += [(waiting.fact, waiting.trace) for waiting in batch if waiting.fact is not None]
    rows = [
        (fact.subject, fact.to_bytes(), json.dumps(headers_of(fact.schema, str(uuid4())) | trace))
        for fact, trace in facts
    ]
    return [
        [series for series, _ in ordered],
        [trace for _, (trace, _) in ordered],
        [sender for _, (_, sender) in ordered],
        *(list(column) for column in zip(*rows, strict=True)),
    ]


async def _note(connection: Connection, touched: Sequence[tuple[int, UUID]]) -> None:
    """Note which delivery has changed which series."""
    series, deliveries = zip(*touched, strict=True)
    await connection.execute(statements.OPEN, deliveries)
    await connection.execute(statements.CARRY, series, deliveries)


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.written.done():
        waiting.written.set_exception(error)
