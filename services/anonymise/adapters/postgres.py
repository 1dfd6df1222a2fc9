"""Releases in PostgreSQL, schema `anonymise`. Each change is kept and said (outbox) in one transaction."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, fields
from functools import partial

import asyncpg

from services.anonymise.errors import DatabaseUnavailableError
from services.anonymise.model import Original, Pseudonym, Release, ReleasedInput, UidKind
from services.chassis.database import passing_as
from services.chassis.outbox import Outbox
from services.contracts.events import Event

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

_COLUMNS = [field.name for field in fields(Release)]
_KEEP = (  # the names are those of our own fields
    f"INSERT INTO releases ({', '.join(_COLUMNS)})"  # noqa: S608
    f" VALUES ({', '.join(f'${place}' for place in range(1, len(_COLUMNS) + 1))})"
    " ON CONFLICT (job_id) DO UPDATE SET "
    + ", ".join(f"{name} = EXCLUDED.{name}" for name in _COLUMNS if name != "job_id")
    + ", released_at = now() WHERE releases.attempt < EXCLUDED.attempt RETURNING 1"
)
_translated = partial(passing_as, DatabaseUnavailableError)


def _values(release: Release) -> list[object]:
    values = {name: getattr(release, name) for name in _COLUMNS}
    values["inputs"] = json.dumps([asdict(one) for one in release.inputs])
    return list(values.values())


class PostgresReleases:
    """What was let out, and the way back."""

    def __init__(self, pool: asyncpg.Pool, outbox: Outbox) -> None:
        self._pool = pool
        self._outbox = outbox

    async def attempt(self, job_id: str) -> int:
        """The newest attempt at the job that was released; 0 if none was."""
        async with _translated():
            return await self._pool.fetchval("SELECT attempt FROM releases WHERE job_id = $1", job_id) or 0

    async def keep(
        self,
        release: Release,
        uids: Mapping[str, Pseudonym],
        reports: Mapping[str, str],
        facts: Sequence[tuple[Event, str | None]],
    ) -> None:
        """Keep a release and say `facts` in one transaction; nothing if this attempt or a later one is kept."""
        async with self._transaction() as connection:
            if await connection.fetchval(_KEEP, *_values(release)) is None:
                return
            await connection.execute(
                # An earlier attempt's pseudonyms stay: made with an older key, its results may still come back.
                "INSERT INTO pseudonyms (job_id, key_id, pseudonym, original_uid, kind)"
                " SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::text[]) ON CONFLICT DO NOTHING",
                release.job_id,
                release.key_id,
                [pseudonym.uid for pseudonym in uids.values()],
                list(uids),
                [pseudonym.kind.value for pseudonym in uids.values()],
            )
            await self._keep_reports(connection, release, reports)
            await self._append(connection, facts)
        self._outbox.wake()

    async def reports(self, job_id: str) -> Mapping[str, str]:
        """What was done to each instance of the newest attempt at a job, by its pseudonym."""
        async with _translated():
            rows = await self._pool.fetch(
                "SELECT pseudonym, body FROM instance_reports JOIN releases USING (job_id, attempt)"
                " JOIN reports USING (digest) WHERE job_id = $1 ORDER BY pseudonym",
                job_id,
            )
        return {row["pseudonym"]: row["body"] for row in rows}

    async def say(self, facts: Sequence[tuple[Event, str | None]]) -> None:
        """Say facts durably."""
        async with self._transaction() as connection:
            await self._append(connection, facts)
        self._outbox.wake()

    async def original(self, job_id: str) -> Original | None:
        """The way back of a job."""
        async with _translated():
            release = await self._pool.fetchrow(
                "SELECT study_instance_uid, series_instance_uid, revision, supersedes, inputs"
                " FROM releases WHERE job_id = $1",
                job_id,
            )
            if release is None:
                return None
            rows = await self._pool.fetch(
                "SELECT pseudonym, original_uid FROM pseudonyms WHERE job_id = $1 AND kind = $2",
                job_id,
                UidKind.INSTANCE.value,
            )
        inputs = tuple(
            ReleasedInput(**one | {"sop_instance_uids": tuple(one["sop_instance_uids"])})
            for one in json.loads(release["inputs"])
        )
        others = {uid for one in inputs for uid in one.sop_instance_uids}
        return Original(
            **dict(release)
            | {
                "sop_instance_uids": {
                    row["pseudonym"]: row["original_uid"] for row in rows if row["original_uid"] not in others
                },
                "inputs": inputs,
            }
        )

    async def pseudonyms(self, job_id: str) -> Mapping[str, str]:
        """What every pseudonym of a job stands for."""
        async with _translated():
            rows = await self._pool.fetch("SELECT pseudonym, original_uid FROM pseudonyms WHERE job_id = $1", job_id)
        return {row["pseudonym"]: row["original_uid"] for row in rows}

    async def _keep_reports(self, connection: Connection, release: Release, reports: Mapping[str, str]) -> None:
        digests = {body: hashlib.sha256(body.encode()).hexdigest() for body in set(reports.values())}
        await connection.execute(
            # In one order everywhere: two releases that bring the same reports must not wait for one another.
            "INSERT INTO reports (digest, body)"
            " SELECT * FROM unnest($1::text[], $2::text[]) AS new (digest, body) ORDER BY 1 ON CONFLICT DO NOTHING",
            list(digests.values()),
            list(digests),
        )
        await connection.execute(
            "INSERT INTO instance_reports (job_id, attempt, pseudonym, digest)"
            " SELECT $1, $2, * FROM unnest($3::text[], $4::text[])",
            release.job_id,
            release.attempt,
            list(reports),
            [digests[body] for body in reports.values()],
        )

    async def _append(self, connection: Connection, facts: Sequence[tuple[Event, str | None]]) -> None:
        for event, message_id in facts:
            await self._outbox.append(connection, event, message_id=message_id)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[Connection]:
        async with _translated(), self._pool.acquire() as connection, connection.transaction():
            yield connection
