"""Jobs in PostgreSQL. Each change is kept, said (outbox) and announced (NOTIFY) in one transaction."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, fields, replace

import asyncpg

from services.chassis.database import AWAY, conditions
from services.chassis.outbox import Outbox
from services.contracts.events import Result
from services.worklist.errors import DatabaseUnavailableError
from services.worklist.model import Job, JobQuery, JobState
from services.worklist.ports import Decision

CHANNEL = "worklist_jobs"
"""Of LISTEN and NOTIFY; the payload is a job id."""

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

_KEPT = tuple(field.name for field in fields(Job) if field.name not in {"position", "change"})
_COLUMNS = ", ".join(_KEPT)
_VALUES = ", ".join(f"${place}" for place in range(1, len(_KEPT) + 1))
_SET = ", ".join(f"{name} = ${place}" for place, name in enumerate(_KEPT, 1) if name != "id")
_INSERT = f"INSERT INTO jobs ({_COLUMNS}, change) VALUES ({_VALUES}, nextval('job_changes')) RETURNING *"  # noqa: S608
_UPDATE = f"UPDATE jobs SET {_SET}, change = nextval('job_changes') WHERE id = $1 RETURNING *"  # noqa: S608
# (both: the names are of our own fields)

_PASSING = (*AWAY, asyncpg.TransactionRollbackError)


class PostgresJobs:
    """The jobs that are kept in the schema `worklist`."""

    def __init__(self, pool: asyncpg.Pool, outbox: Outbox) -> None:
        self._pool = pool
        self._outbox = outbox

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
            decision = await self._keep(connection, decide([_job(row) for row in rows]))
        self._outbox.wake()
        return decision

    async def decide_on_job(self, job_id: str, decide: Callable[[Job], Decision]) -> Decision | None:
        """Keep and say what `decide` makes of a job; `None` if there is none."""
        async with self._transaction() as connection:
            row = await connection.fetchrow("SELECT * FROM jobs WHERE id = $1 FOR UPDATE", job_id)
            if row is None:
                return None
            decision = await self._keep(connection, decide(_job(row)))
        if decision.facts:
            self._outbox.wake()
        return decision

    async def get(self, job_id: str) -> Job | None:
        """The job."""
        found = await self.of_ids([job_id])
        return found[0] if found else None

    async def of_ids(self, job_ids: Sequence[str]) -> Sequence[Job]:
        """The jobs of these ids, in the order of their last change."""
        async with _translated():
            rows = await self._pool.fetch("SELECT * FROM jobs WHERE id = ANY($1::text[]) ORDER BY change", job_ids)
        return [_job(row) for row in rows]

    async def last_change(self) -> int:
        """The newest change of any job, or 0."""
        async with _translated():
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
        }
        where, values = conditions(wanted)
        async with _translated():
            rows = await self._pool.fetch(
                f"SELECT * FROM jobs WHERE {where}"  # noqa: S608  # conditions of our own, above
                f" ORDER BY position DESC LIMIT ${len(values) + 1}",
                *values,
                query.limit,
            )
        return [_job(row) for row in rows]

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        async with _translated(), self._pool.acquire() as connection, connection.transaction():
            yield connection

    async def _keep(self, connection: Connection, decision: Decision) -> Decision:
        kept = []
        for job in decision.jobs:
            row = await connection.fetchrow(_UPDATE if job.position else _INSERT, *_values(job))
            assert row is not None  # noqa: S101  # RETURNING a row that is locked or new
            kept.append(_job(row))
            await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, job.id)
        for event, message_id in decision.facts:
            await self._outbox.append(connection, event, message_id=message_id)
        return replace(decision, jobs=tuple(kept))


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except _PASSING as error:
        raise DatabaseUnavailableError from error


def _values(job: Job) -> list[object]:
    values = {name: getattr(job, name) for name in _KEPT}
    values["results"] = json.dumps([asdict(result) for result in job.results])
    return list(values.values())


def _job(row: asyncpg.Record) -> Job:
    values = dict(row)
    values["state"] = JobState(values["state"])
    values["results"] = tuple(Result(**result) for result in json.loads(values["results"]))
    return Job(**values)
