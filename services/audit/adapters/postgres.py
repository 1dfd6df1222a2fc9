"""The log in PostgreSQL: one writer at a time, as many records in a transaction as are waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass, fields

import asyncpg

from services.audit import model
from services.audit.errors import LogBrokenError, LogUnavailableError
from services.audit.model import Entry, Head, Index, LogQuery
from services.chassis.database import conditions

_BATCH = 500
_WALK_BATCH = 1000
_INDEX = tuple(field.name for field in fields(Index))
_COLUMNS = ("seq", "record", "prev_hash", "hash", *_INDEX)
_GUARDS = {"append_only": "records", "one_head": "head"}

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy

_PASSING = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
)


@dataclass(frozen=True, slots=True)
class _Waiting:
    record_id: str
    record: bytes
    kept: asyncio.Future[None]


class PostgresLedger:
    """The log in the schema `audit`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def append(self, record_id: str, record: bytes) -> None:
        """Keep a record; returns once it is durable. A `record_id` that is there already changes nothing."""
        waiting = _Waiting(record_id, record, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())
        await waiting.kept

    async def _write_all(self) -> None:
        """Write what waits, as long as something does. While one transaction commits, the next batch gathers."""
        while self._waiting:
            batch, self._waiting = self._waiting[:_BATCH], self._waiting[_BATCH:]
            try:
                async with _translated():
                    await self._write(batch)
            except Exception as error:  # noqa: BLE001  # each one who waits has to hear of it, whatever it is
                for waiting in batch:
                    if not waiting.kept.done():
                        waiting.kept.set_exception(error)
            else:
                for waiting in batch:
                    if not waiting.kept.done():  # who asked may have gone away
                        waiting.kept.set_result(None)

    async def _write(self, batch: Sequence[_Waiting]) -> None:
        records: dict[str, bytes] = {}
        for waiting in batch:
            records.setdefault(waiting.record_id, waiting.record)
        async with self._pool.acquire() as connection, connection.transaction():
            row = await connection.fetchrow("SELECT seq, hash FROM head FOR UPDATE")
            assert row is not None  # noqa: S101  # the migration made it, a trigger keeps it
            present = await connection.fetch(
                "SELECT record_id FROM records WHERE record_id = ANY($1::text[])", list(records)
            )
            for found in present:
                del records[found["record_id"]]
            entries = model.extend(Head(row["seq"], row["hash"]), records.values())
            if not entries:
                return
            await connection.copy_records_to_table("records", records=map(_row, entries), columns=_COLUMNS)
            await connection.execute("UPDATE head SET seq = $1, hash = $2", entries[-1].seq, entries[-1].hash)

    async def find(self, query: LogQuery) -> Sequence[Entry]:
        """The records that are asked for, newest first."""
        wanted = {
            "study_instance_uid = ": query.study_instance_uid,
            "series_instance_uid = ": query.series_instance_uid,
            "job_id = ": query.job_id,
            "caller = ": query.caller,
            "action = ": query.action,
            "at >= ": query.since,
            "at < ": query.until,
            "seq < ": query.after,
        }
        where, values = conditions(wanted)
        async with _translated():
            rows = await self._pool.fetch(
                f"SELECT {', '.join(_COLUMNS)} FROM records"  # noqa: S608  # names and conditions of our own
                f" WHERE {where} ORDER BY seq DESC LIMIT ${len(values) + 1}",
                *values,
                query.limit,
            )
        return [_entry(row) for row in rows]

    @asynccontextmanager
    async def walk(self) -> AsyncIterator[PostgresWalk]:
        """The whole log as it is at one moment."""
        async with (
            _translated(),
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            row = await connection.fetchrow("SELECT seq, hash FROM head")
            yield PostgresWalk(
                connection,
                head=Head(row["seq"], row["hash"]) if row else Head(-1),
                guarded=await _is_guarded(connection),
            )


class PostgresWalk:
    """A look at the whole log in one transaction."""

    def __init__(self, connection: Connection, *, head: Head, guarded: bool) -> None:
        self._connection = connection
        self.head = head
        self.guarded = guarded

    async def batches(self) -> AsyncIterator[Sequence[Entry]]:
        """Every entry, in order."""
        cursor = await self._connection.cursor(
            f"SELECT {', '.join(_COLUMNS)} FROM records ORDER BY seq"  # noqa: S608  # names of our own
        )
        while rows := await cursor.fetch(_WALK_BATCH):
            yield [_entry(row) for row in rows]


async def _is_guarded(connection: Connection) -> bool:
    """Whether the triggers are there, and on for every session (`A`, always)."""
    rows = await connection.fetch(
        "SELECT t.tgname, t.tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " WHERE c.relnamespace = current_schema()::regnamespace AND (t.tgname, c.relname) IN"
        " (SELECT * FROM unnest($1::text[], $2::text[]))",
        list(_GUARDS),
        list(_GUARDS.values()),
    )
    return {row["tgname"] for row in rows if row["tgenabled"] == b"A"} == set(_GUARDS)


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except _PASSING as error:
        raise LogUnavailableError from error
    except asyncpg.UniqueViolationError as error:  # of `seq`: one writer at a time cannot collide with itself
        raise LogBrokenError from error


def _row(entry: Entry) -> tuple[object, ...]:
    return (entry.seq, entry.record, entry.prev_hash, entry.hash, *astuple(entry.index))


def _entry(row: asyncpg.Record) -> Entry:
    index = Index(**{name: row[name] for name in _INDEX})
    return Entry(row["seq"], row["record"], row["prev_hash"], row["hash"], index)
