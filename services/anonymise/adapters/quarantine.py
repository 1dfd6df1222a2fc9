"""Quarantine in PostgreSQL, schema `anonymise`. What is decided and what comes of it is one transaction (outbox)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial

import asyncpg

from services.anonymise.burned_in.model import Box, Decision, Doubt, Finding, Found, Ground
from services.anonymise.errors import DatabaseUnavailableError, Reason
from services.anonymise.quarantine import STEP, Entry, Held, State
from services.chassis.database import passing_as
from services.chassis.outbox import Outbox
from services.contracts.events import Event, JobFailed, JobRequested

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

_translated = partial(passing_as, DatabaseUnavailableError)
_KEEP = """
    INSERT INTO quarantine (digest, study_instance_uid, series_instance_uid, sop_instance_uid, rows, columns, frames,
                            doubt, grounds, found)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    ON CONFLICT (digest) DO UPDATE SET doubt = EXCLUDED.doubt, grounds = EXCLUDED.grounds, found = EXCLUDED.found,
        study_instance_uid = EXCLUDED.study_instance_uid, series_instance_uid = EXCLUDED.series_instance_uid,
        sop_instance_uid = EXCLUDED.sop_instance_uid, state = 'waiting', decided_at = NULL
    WHERE quarantine.state IN ('waiting', 'withdrawn')
"""
_ENTRIES = """
    SELECT quarantine.*, ARRAY(SELECT job_id FROM held_jobs WHERE held_jobs.digest = quarantine.digest ORDER BY job_id)
        AS jobs
    FROM quarantine
"""
_WITHDRAWN = """
    UPDATE quarantine SET state = 'withdrawn', decided_at = now()
    WHERE digest = ANY($1) AND state = 'waiting'
        AND NOT EXISTS (SELECT FROM held_jobs WHERE held_jobs.digest = quarantine.digest)
    RETURNING number
"""
_ALONE = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
"""A job is held and cancelled one after the other, whoever comes first."""
_WAITING_OF = """
    SELECT count(*) FROM held_jobs JOIN quarantine USING (digest) WHERE job_id = $1 AND state = 'waiting'
"""


class PostgresQuarantine:
    """Pictures that a person has to look at; see `services.anonymise.ports.Quarantine`."""

    def __init__(self, pool: asyncpg.Pool, outbox: Outbox) -> None:
        self._pool = pool
        self._outbox = outbox

    async def decided(self, digest: str) -> Decision | None:
        """What a person decided; None while nobody has."""
        async with _translated():
            row = await self._pool.fetchrow("SELECT state, masks FROM quarantine WHERE digest = $1", digest)
        if row is None or row["state"] in (State.WAITING, State.WITHDRAWN):
            return None
        return Decision(row["state"] == State.RELEASED, _boxes(row["masks"]))

    async def hold(
        self, requested: JobRequested, findings: Sequence[Finding], facts: Sequence[tuple[Event, str | None]]
    ) -> None:
        """Keep what was found, and the job until all of it is decided."""
        async with self._transaction() as connection:
            await connection.execute(_ALONE, requested.job_id)
            if await connection.fetchval("SELECT 1 FROM cancelled_jobs WHERE job_id = $1", requested.job_id):
                return
            await connection.execute("DELETE FROM held_jobs WHERE job_id = $1", requested.job_id)
            # In one order everywhere, so that no two transactions wait for each other.
            for finding in sorted(findings, key=lambda one: one.digest):
                await connection.execute(_KEEP, *_row(finding))
                await connection.execute(
                    "INSERT INTO held_jobs (job_id, digest, request) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
                    requested.job_id,
                    finding.digest,
                    requested.to_bytes(),
                )
            await self._append(connection, facts)
            # Somebody may have decided just now: who decides before this commits does not see the job.
            await self._go_on(connection, requested)
        self._outbox.wake()

    async def entries(self, state: State | None) -> Sequence[Entry]:
        """The pictures in a state, or all, oldest first."""
        async with _translated():
            rows = await self._pool.fetch(
                f"{_ENTRIES} WHERE $1::text IS NULL OR state = $1 ORDER BY number", state and state.value
            )
        return [_entry(row) for row in rows]

    async def entry(self, number: int) -> Entry | None:
        """A picture."""
        async with _translated():
            row = await self._pool.fetchrow(f"{_ENTRIES} WHERE number = $1", number)
        return _entry(row) if row is not None else None

    async def decide(
        self, number: int, state: State, masks: Sequence[Box], by: str, facts: Sequence[tuple[Event, str | None]]
    ) -> None:
        """Keep a decision, and let the jobs that wait go on or fail."""
        async with self._transaction() as connection:
            digest = await connection.fetchval(
                "UPDATE quarantine SET state = $2, masks = $3, decided_by = $4, decided_at = now()"
                " WHERE number = $1 RETURNING digest",
                number,
                state.value,
                json.dumps(masks),
                by,
            )
            await self._append(connection, facts)
            waiting = await connection.fetch(
                "SELECT job_id, request FROM held_jobs WHERE digest = $1 ORDER BY job_id FOR UPDATE", digest
            )
            for job in waiting:
                requested = JobRequested.from_bytes(job["request"])
                if state is State.REFUSED:
                    await self._fail(connection, requested)
                else:
                    await self._go_on(connection, requested)
        self._outbox.wake()

    async def withdraw(self, job_id: str) -> int:
        """A cancelled job waits no longer, and never will."""
        async with self._transaction() as connection:
            await connection.execute(_ALONE, job_id)
            await connection.execute("INSERT INTO cancelled_jobs (job_id) VALUES ($1) ON CONFLICT DO NOTHING", job_id)
            rows = await connection.fetch("DELETE FROM held_jobs WHERE job_id = $1 RETURNING digest", job_id)
            # In one order everywhere, as in `hold`.
            digests = sorted(row["digest"] for row in rows)
            await connection.execute(
                "SELECT 1 FROM quarantine WHERE digest = ANY($1) ORDER BY digest FOR UPDATE", digests
            )
            return len(await connection.fetch(_WITHDRAWN, digests))

    async def held(self) -> Sequence[Held]:
        """The jobs that wait."""
        async with _translated():
            rows = await self._pool.fetch(
                "SELECT job_id, count(*) FILTER (WHERE state <> 'waiting') AS decided, count(*) AS total"
                " FROM held_jobs JOIN quarantine USING (digest) GROUP BY job_id"
            )
        return [Held(row["job_id"], row["decided"], row["total"]) for row in rows]

    async def _go_on(self, connection: Connection, requested: JobRequested) -> None:
        """Ask for the job once more, if nothing is waiting any more: what was decided is then found."""
        if await connection.fetchval(_WAITING_OF, requested.job_id):
            return
        await connection.execute("DELETE FROM held_jobs WHERE job_id = $1", requested.job_id)
        await self._append(connection, ((requested, None),))

    async def _fail(self, connection: Connection, requested: JobRequested) -> None:
        reason = Reason.REFUSED_BY_PERSON
        failed = JobFailed(requested.job_id, STEP, reason.value, reason.text, requested.attempt)
        await connection.execute("DELETE FROM held_jobs WHERE job_id = $1", requested.job_id)
        await self._append(connection, ((failed, f"{requested.job_id}.{requested.attempt}.failed"),))

    async def _append(self, connection: Connection, facts: Sequence[tuple[Event, str | None]]) -> None:
        for event, message_id in facts:
            await self._outbox.append(connection, event, message_id=message_id)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        async with _translated(), self._pool.acquire() as connection, connection.transaction():
            yield connection


def _row(finding: Finding) -> tuple[object, ...]:
    return (
        finding.digest,
        finding.study_instance_uid,
        finding.series_instance_uid,
        finding.sop_instance_uid,
        finding.rows,
        finding.columns,
        finding.frames,
        finding.doubt.value,
        [ground.value for ground in finding.grounds],
        json.dumps([[one.frame, *one.box, one.sure] for one in finding.found]),
    )


def _entry(row: asyncpg.Record) -> Entry:
    found = [Found(frame, Box(*box), bool(sure)) for frame, *box, sure in json.loads(row["found"])]
    finding = Finding(
        digest=row["digest"],
        study_instance_uid=row["study_instance_uid"],
        series_instance_uid=row["series_instance_uid"],
        sop_instance_uid=row["sop_instance_uid"],
        rows=row["rows"],
        columns=row["columns"],
        frames=row["frames"],
        doubt=Doubt(row["doubt"]),
        grounds=tuple(map(Ground, row["grounds"])),
        found=tuple(found),
    )
    return Entry(
        row["number"],
        finding,
        State(row["state"]),
        row["held_at"],
        _boxes(row["masks"]),
        row["decided_by"],
        row["decided_at"],
        tuple(row["jobs"]),
    )


def _boxes(text: str) -> tuple[Box, ...]:
    return tuple(Box(*box) for box in json.loads(text))
