"""Erasing and evidence in PostgreSQL: each change with what is said of it, in one transaction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import asyncpg

from services.chassis.database import AWAY
from services.chassis.outbox import Outbox
from services.chassis.principal import Principal
from services.contracts.events import Action
from services.contracts.events import Outcome as AuditOutcome
from services.ingest.model import Target, replaced, store_record, told_erased
from services.store import changes, conflicts, erasing, index
from services.store.errors import IndexUnavailable
from services.store.history import Change, ChangeKind, ErasedSeries, Evidence
from services.store.index import Connection, RacedError
from services.store.model import Entry

_TRIES = 5

_TOUCHED = """
INSERT INTO index.settling (series, pending, touched_at, traceparent) VALUES ($1, true, clock_timestamp(), '')
ON CONFLICT (series) DO UPDATE SET pending = true, touched_at = excluded.touched_at
"""


class PostgresCustody:
    """`ports.Custody` in the schema `index`."""

    def __init__(self, pool: asyncpg.Pool, outbox: Outbox) -> None:
        """Write through `pool`, and let the relay of `outbox` know."""
        self._pool = pool
        self._outbox = outbox

    async def erase(self, target: Target, principal: Principal, trace_id: str) -> Sequence[ErasedSeries]:
        """See `ports.Custody.erase`."""
        for _ in range(_TRIES):
            try:
                async with self._transaction() as connection:
                    erased = await erasing.erase(
                        connection, target.study_instance_uid, target.series_instance_uid, target.sop_instance_uid
                    )
                    for fact in told_erased(erased, principal, trace_id=trace_id, detail=target.level):
                        await self._outbox.append(connection, fact)
                    await changes.note(
                        connection,
                        [
                            Change(ChangeKind.DELETE, each.study_instance_uid, each.series_instance_uid, each.instances)
                            for each in erased
                        ],
                    )
            except asyncpg.DeadlockDetectedError:
                continue  # something was being stored into it
            return erased
        raise IndexUnavailable("contention")

    async def evidence(self, limit: int, offset: int) -> Sequence[Evidence]:
        """See `ports.Custody.evidence`."""
        async with self._transaction() as connection:
            return await conflicts.newest(connection, limit, offset)

    async def one(self, sop_instance_uid: str, digest: str) -> Evidence | None:
        """See `ports.Custody.one`."""
        async with self._transaction() as connection:
            return await conflicts.find(connection, sop_instance_uid, digest)

    async def exchange(self, entry: Entry, principal: Principal, trace_id: str) -> bool:
        """See `ports.Custody.exchange`."""
        for _ in range(_TRIES):
            try:
                async with self._transaction() as connection:
                    return await self._exchanged(connection, entry, principal, trace_id)
            except (RacedError, asyncpg.DeadlockDetectedError):
                continue
        raise IndexUnavailable("contention")

    async def dismiss(self, sop_instance_uid: str, digest: str, principal: Principal, trace_id: str) -> bool:
        """See `ports.Custody.dismiss`."""
        async with self._transaction() as connection:
            gone = await conflicts.forget(connection, sop_instance_uid, digest)
            if gone is None:
                return False
            await erasing.discard(connection, [(sop_instance_uid, digest)])
            record = store_record(
                principal,
                AuditOutcome.SUCCESS,
                action=Action.DELETE,
                trace_id=trace_id,
                detail="evidence",
                study_instance_uid=gone.study_instance_uid,
                series_instance_uid=gone.series_instance_uid,
                sop_instance_uid=sop_instance_uid,
            )
            await self._outbox.append(connection, record)
        return True

    async def _exchanged(self, connection: Connection, entry: Entry, principal: Principal, trace_id: str) -> bool:
        if await conflicts.find(connection, entry.sop_instance_uid, entry.digest) is None:
            return False
        served = await connection.fetchval(
            "SELECT encode(digest, 'hex') FROM index.instance WHERE sop_instance_uid = $1", entry.sop_instance_uid
        )
        if served is None:
            raise RacedError
        series = await index.replace(connection, entry, served)
        await connection.execute(_TOUCHED, series)
        for fact in replaced(entry, principal, trace_id=trace_id):
            await self._outbox.append(connection, fact)
        change = Change(
            ChangeKind.UPDATE,
            entry.study_instance_uid,
            entry.series_instance_uid,
            ((entry.sop_instance_uid, entry.digest),),
        )
        await changes.note(connection, [change])
        return True

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        try:
            async with self._pool.acquire() as connection, connection.transaction():
                yield connection
        except AWAY as error:
            raise IndexUnavailable(type(error).__name__) from error
        self._outbox.wake()
