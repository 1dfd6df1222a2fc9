"""Jobs in PostgreSQL. Each change is kept, said (outbox) and announced (NOTIFY) in one transaction; so is what comes of
it for the job's work items."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime

import asyncpg

from services.chassis import telemetry
from services.chassis.database import conditions
from services.chassis.outbox import Outbox
from services.contracts import telemetry as names
from services.contracts.events import Event
from services.worklist.adapters import items, rows
from services.worklist.adapters.rows import Connection, job_of, translated
from services.worklist.model import Job, JobQuery, JobState, Priority
from services.worklist.ports import Decision, Facts
from services.worklist.turns import InWork, Waiting

_WAITING = """
SELECT id, priority, sender, requested_at, position FROM (
    SELECT *, row_number() OVER (PARTITION BY sender, priority ORDER BY position) AS place
    FROM jobs WHERE state = 'waiting' AND performer = 'mesh' AND (not_before IS NULL OR not_before <= $2)
) AS each WHERE place <= $1
"""
# A job that waits for a person takes no place: others would wait with it.
_IN_WORK = """
SELECT sender, priority, count(*) AS jobs FROM jobs
WHERE state IN ('requested', 'released') AND performer = 'mesh' AND step <> 'quarantine' GROUP BY sender, priority
"""
# One that waits for a person is left out here, too: it may wait for days. So is one that waits for its hour.
_NO_JOB_UNFINISHED = """
NOT EXISTS (
    SELECT FROM jobs
    WHERE state IN ('waiting', 'requested', 'released', 'inferred') AND performer = 'mesh' AND step <> 'quarantine'
    AND NOT (state = 'waiting' AND coalesce(not_before > now(), false))
)
"""
_WANTS_A_SHADOW = "state = 'completed' AND shadow <> '' AND shadowed_at IS NULL"


class PostgresJobs:
    """The jobs that are kept in the schema `worklist`."""

    def __init__(
        self,
        pool: asyncpg.Pool,
        outbox: Outbox,
        *,
        dicomweb: str = "",
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        """Keep them.

        Args:
            dicomweb: where work items say that results are read.
            moved: called when a job may have made room, or waits.
        """
        self._pool = pool
        self._outbox = outbox
        self._dicomweb = dicomweb
        self._moved = moved

    async def decide_on_series(
        self, study_instance_uid: str, series_instance_uid: str, decide: Callable[[Sequence[Job]], Decision]
    ) -> Decision:
        """Keep and say what `decide` makes of the jobs of a series, oldest first. The jobs come back as kept."""
        async with self._transaction() as connection:
            # Rows that are not there yet cannot be locked: the series is.
            await connection.execute(
                "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"{study_instance_uid}/{series_instance_uid}"
            )
            rows = await connection.fetch(
                "SELECT * FROM jobs WHERE study_instance_uid = $1 AND series_instance_uid = $2"
                " ORDER BY position FOR UPDATE",
                study_instance_uid,
                series_instance_uid,
            )
            decision = await self._keep(connection, decide([job_of(row) for row in rows]))
        self._after(decision)
        return decision

    async def decide_on_job(self, job_id: str, decide: Callable[[Job], Decision]) -> Decision | None:
        """Keep and say what `decide` makes of a job; `None` if there is none."""
        async with self._transaction() as connection:
            job = await rows.lock(connection, job_id)
            if job is None:
                return None
            decision = await self._keep(connection, decide(job))
        self._after(decision)
        return decision

    async def decide_on_waiting(
        self,
        at: datetime,
        most: int,
        pick: Callable[[Sequence[Waiting], InWork], Sequence[str]],
        decide: Callable[[Job], Decision],
    ) -> Sequence[Job]:
        """Keep and say what `decide` makes of the jobs that `pick` picks; one process at a time."""
        async with self._transaction() as connection:
            if await connection.fetchval(
                "SELECT NOT EXISTS (SELECT FROM jobs WHERE state = 'waiting' AND performer = 'mesh')"
            ):
                return []
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('worklist.admission', 0))")
            counted = await connection.fetch(_IN_WORK)
            in_work = {(row["sender"], Priority(row["priority"])): row["jobs"] for row in counted}
            waiting = [
                Waiting(row["id"], Priority(row["priority"]), row["sender"], row["requested_at"], row["position"])
                for row in await connection.fetch(_WAITING, most, at)
            ]
            picked = pick(waiting, in_work)
            kept = await self._decide_on_all(connection, names.SPAN_ADMIT, picked, JobState.WAITING, decide)
        self._after(kept)
        return kept.jobs

    async def decide_on_overdue(self, at: datetime, decide: Callable[[Job], Decision]) -> Sequence[Job]:
        """Keep and say what `decide` makes of the jobs whose deadline has passed and that have not ended."""
        async with self._transaction() as connection:
            found = await connection.fetch(
                "SELECT id FROM jobs WHERE deadline < $1 AND state NOT IN ('completed', 'failed', 'cancelled')", at
            )
            kept = await self._decide_on_all(connection, names.SPAN_EXPIRE, [row["id"] for row in found], None, decide)
        self._after(kept)
        return kept.jobs

    async def shadow_waits(self) -> bool:
        """Whether a completed job waits for its shadow, in a quiet time; see the port."""
        async with translated():
            return bool(
                await self._pool.fetchval(
                    f"SELECT EXISTS (SELECT FROM jobs WHERE {_WANTS_A_SHADOW}) AND {_NO_JOB_UNFINISHED}"  # noqa: S608
                )
            )

    async def decide_on_shadow(self, decide: Callable[[Job], Decision]) -> Job | None:
        """Keep and say what `decide` makes of the oldest job that waits for its shadow; see the port."""
        async with self._transaction() as connection:
            row = await connection.fetchrow(
                f"SELECT * FROM jobs WHERE {_WANTS_A_SHADOW} AND {_NO_JOB_UNFINISHED}"  # noqa: S608  # our own
                " ORDER BY position LIMIT 1 FOR UPDATE SKIP LOCKED"
            )
            if row is None:
                return None
            job = job_of(row)
            # A trace of its own: the job's has ended with its results.
            with telemetry.span(names.SPAN_SHADOW, {names.JOB_ID: job.id, names.MODEL: job.model}):
                kept = await self._keep(connection, decide(job))
        self._after(kept)
        return kept.jobs[0]

    async def _decide_on_all(
        self,
        connection: Connection,
        name: str,
        ids: Sequence[str],
        state: JobState | None,
        decide: Callable[[Job], Decision],
    ) -> Decision:
        # Whom somebody has in hand now is left for the next time: to wait for one would hold up the others.
        found = await connection.fetch(
            "SELECT * FROM jobs WHERE id = ANY($1::text[]) FOR UPDATE SKIP LOCKED", list(ids)
        )
        by_id = {row["id"]: job_of(row) for row in found}
        jobs: list[Job] = []
        facts: list[tuple[Event, str | None]] = []
        for job in (by_id[each] for each in ids if each in by_id):
            if not job.state.ended and state in (None, job.state):
                # What is said now belongs to the trace in which the job was asked for.
                parent = telemetry.extract({"traceparent": job.trace_parent})
                with telemetry.span(name, {names.JOB_ID: job.id}, parent=parent):
                    kept = await self._keep(connection, decide(job))
                jobs += kept.jobs
                facts += kept.facts
        return Decision(tuple(jobs), tuple(facts))

    async def get(self, job_id: str) -> Job | None:
        """The job."""
        found = await self.of_ids([job_id])
        return found[0] if found else None

    async def of_ids(self, job_ids: Sequence[str]) -> Sequence[Job]:
        """The jobs of these ids, in the order of their last change."""
        async with translated():
            rows = await self._pool.fetch("SELECT * FROM jobs WHERE id = ANY($1::text[]) ORDER BY change", job_ids)
        return [job_of(row) for row in rows]

    async def last_change(self) -> int:
        """The newest change of any job, or 0."""
        async with translated():
            return int(await self._pool.fetchval("SELECT coalesce(max(change), 0) FROM jobs"))

    async def find(self, query: JobQuery) -> Sequence[Job]:
        """The jobs that are asked for, newest first."""
        wanted = {
            "study_instance_uid = ": query.study_instance_uid,
            "series_instance_uid = ": query.series_instance_uid,
            "model = ": query.model,
            "state = ": query.state,
            "id = ": query.job_id,
            "position < ": query.before,
            "change > ": query.since,
            "inputs @> ": json.dumps([{"series_instance_uid": query.beside}]) if query.beside else "",
        }
        where, values = conditions(wanted)
        async with translated():
            rows = await self._pool.fetch(
                f"SELECT * FROM jobs WHERE {where}"  # noqa: S608  # conditions of our own, above
                f" ORDER BY position DESC LIMIT ${len(values) + 1}",
                *values,
                query.limit,
            )
        return [job_of(row) for row in rows]

    async def record(self, facts: Facts) -> None:
        """Say who has looked."""
        async with self._transaction() as connection:
            for event, message_id in facts:
                await self._outbox.append(connection, event, message_id=message_id)
        self._outbox.wake()

    def _transaction(self) -> AbstractAsyncContextManager[Connection]:
        return rows.transaction(self._pool)

    async def _keep(self, connection: Connection, decision: Decision) -> Decision:
        kept = [await rows.save(connection, job) for job in decision.jobs]
        for item in decision.items:
            await items.create(connection, item)
        following = {job.id: job for job in kept}
        for item in decision.items:  # of a job that is there already
            if item.job_id and item.job_id not in following and (job := await rows.lock(connection, item.job_id)):
                following[job.id] = job
        for job in following.values():
            await items.follow(connection, job, self._dicomweb)
        for event, message_id in decision.facts:
            await self._outbox.append(connection, event, message_id=message_id)
        return replace(decision, jobs=tuple(kept))

    def _after(self, decision: Decision) -> None:
        if decision.facts:
            self._outbox.wake()
        if any(job.state.ended or job.state in {JobState.WAITING, JobState.INFERRED} for job in decision.jobs):
            self._moved()
