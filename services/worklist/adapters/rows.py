"""Jobs as rows: on a connection whose transaction is somebody else's."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, fields
from functools import partial

import asyncpg

from services.chassis.database import passing_as
from services.contracts.events import InputSeries, LeftOut, Result
from services.worklist.errors import DatabaseUnavailableError
from services.worklist.model import Job, JobState, Performer, Priority

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

translated = partial(passing_as, DatabaseUnavailableError)
"""Errors of a database that is away, as ours."""


@asynccontextmanager
async def transaction(pool: asyncpg.Pool) -> AsyncIterator[Connection]:
    """A transaction on a connection of the pool."""
    async with translated(), pool.acquire() as connection, connection.transaction():
        yield connection


async def save(connection: Connection, job: Job) -> Job:
    """Keep a new or a changed job, and announce it; the job as it is kept."""
    row = await connection.fetchrow(_UPDATE if job.position else _INSERT, *_values(job))
    assert row is not None  # noqa: S101  # RETURNING a row that is locked or new
    await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, job.id)
    return job_of(row)


async def lock(connection: Connection, job_id: str) -> Job | None:
    """A job, alone until the transaction ends; None if there is none."""
    row = await connection.fetchrow("SELECT * FROM jobs WHERE id = $1 FOR UPDATE", job_id)
    return None if row is None else job_of(row)


def job_of(row: asyncpg.Record) -> Job:
    """The job of a row."""
    values = dict(row)
    values["state"] = JobState(values["state"])
    values["priority"] = Priority(values["priority"])
    values["performer"] = Performer(values["performer"])
    values["results"] = tuple(Result(**result) for result in json.loads(values["results"]))
    values["left_out"] = tuple(LeftOut(**one) for one in json.loads(values["left_out"]))
    values["chosen"] = tuple(json.loads(values["chosen"]))
    values["inputs"] = tuple(InputSeries(**series) for series in json.loads(values["inputs"]))
    return Job(**values)


def _values(job: Job) -> list[object]:
    values = {name: getattr(job, name) for name in _KEPT}
    values["results"] = json.dumps([asdict(result) for result in job.results])
    values["left_out"] = json.dumps([asdict(one) for one in job.left_out])
    values["chosen"] = json.dumps(job.chosen)
    values["inputs"] = json.dumps([asdict(series) for series in job.inputs])
    return list(values.values())
