"""The log in PostgreSQL: one writer at a time, as many records in a transaction as are waiting."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import astuple, dataclass, fields
from typing import Final

import asyncpg

from services.audit import merkle, model
from services.audit.errors import LogBrokenError, LogUnavailableError
from services.audit.merkle import Frontier
from services.audit.model import Entry, Index, LogQuery
from services.chassis.database import conditions

SESSION: Final = {"plan_cache_mode": "force_custom_plan"}
"""For connections to the log: it grows from nothing, and a plan that was made then reads all of it ever after."""

_MOST_TOGETHER = 4
"""So many appends share a transaction, of as many records as each of them brings."""
_WALK_BATCH = 1000
_INDEX = tuple(field.name for field in fields(Index))
_COLUMNS = ("seq", "record", "salt", "leaf", *_INDEX)
_LIST = ", ".join(_COLUMNS)
_COSIGNED = "SELECT note FROM cosigned ORDER BY size DESC, witness"
_GUARDS = {"append_only": "records", "erase_only": "records", "one_tree": "tree"}

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
    records: Mapping[str, bytes]
    kept: asyncio.Future[None]


class PostgresLedger:
    """The log in the schema `audit`."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._waiting: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def append(self, records: Mapping[str, bytes]) -> None:
        """See `Ledger.append`."""
        waiting = _Waiting(records, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())
        await waiting.kept

    async def _write_all(self) -> None:
        """Write what waits, as long as something does. While one transaction commits, the next batch gathers."""
        while self._waiting:
            few = all(len(each.records) == 1 for each in self._waiting)
            most = 500 if few else _MOST_TOGETHER
            batch, self._waiting = self._waiting[:most], self._waiting[most:]
            try:
                async with _translated(), self._pool.acquire() as connection, connection.transaction():
                    await _write(connection, {key: value for each in batch for key, value in each.records.items()})
            except Exception as error:  # noqa: BLE001  # each one who waits has to hear of it, whatever it is
                for waiting in batch:
                    if not waiting.kept.done():
                        waiting.kept.set_exception(error)
            else:
                for waiting in batch:
                    if not waiting.kept.done():  # who asked may have gone away
                        waiting.kept.set_result(None)

    async def settings(self, service: str) -> Mapping[str, str] | None:
        """See `Ledger.settings`."""
        async with _translated():
            kept = await self._pool.fetchval("SELECT digests FROM settings WHERE service = $1", service)
        return None if kept is None else dict(json.loads(kept))

    async def keep_settings(self, service: str, settings: Mapping[str, str]) -> None:
        """See `Ledger.keep_settings`."""
        async with _translated():
            await self._pool.execute(
                "INSERT INTO settings (service, digests) VALUES ($1, $2)"
                " ON CONFLICT (service) DO UPDATE SET digests = excluded.digests",
                service,
                json.dumps(dict(settings)),
            )

    async def find(self, query: LogQuery) -> Sequence[Entry]:
        """See `Ledger.find`."""
        wanted = {
            "record_id = ": query.record_id,
            "study_instance_uid = ": query.study_instance_uid,
            "series_instance_uid = ": query.series_instance_uid,
            "job_id = ": query.job_id,
            "caller = ": query.caller,
            "action = ": query.action,
            "destination = ": query.destination,
            "at >= ": query.since,
            "at < ": query.until,
            "seq < ": query.after,
        }
        where, values = conditions(wanted)
        if query.studies:
            values.append(list(query.studies))
            where += f" AND study_instance_uid = ANY(${len(values)}::text[])"
        async with _translated():
            rows = await self._pool.fetch(
                f"SELECT {_LIST} FROM records"  # noqa: S608  # names and conditions of our own
                f" WHERE {where} ORDER BY seq DESC LIMIT ${len(values) + 1}",
                *values,
                query.limit,
            )
        return [_entry(row) for row in rows]

    async def following(self, seq: int, limit: int) -> Sequence[Entry]:
        """See `Ledger.following`."""
        async with _translated():
            rows = await self._pool.fetch(
                f"SELECT {_LIST} FROM records WHERE seq > $1 ORDER BY seq LIMIT $2",  # noqa: S608  # names of our own
                seq,
                limit,
            )
        return [_entry(row) for row in rows]

    async def erase(self, told: Mapping[str, bytes]) -> int:
        """See `Ledger.erase`."""
        async with _translated(), self._pool.acquire() as connection:
            async with connection.transaction():
                rows = await connection.fetch(
                    "UPDATE records SET record = NULL, salt = NULL, at = NULL, action = '', caller = '',"
                    " study_instance_uid = '', series_instance_uid = '', job_id = '', destination = ''"
                    " WHERE record IS NOT NULL AND action <> 'audit-erase' AND record_id = ANY($1::text[])"
                    " RETURNING record_id",
                    list(told),
                )
                kept = [told[row["record_id"]] for row in rows]
                await _write(connection, {model.index_of(record).record_id: record for record in kept})
            # What an UPDATE leaves behind of the old row is on the disk until it is vacuumed.
            await connection.execute("VACUUM records")
        return len(rows)

    @asynccontextmanager
    async def walk(self, after: int = 0) -> AsyncIterator[PostgresWalk]:
        """See `Ledger.walk`."""
        async with (
            _translated(),
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            row = await connection.fetchrow("SELECT size, frontier FROM tree")
            yield PostgresWalk(
                connection,
                after=after,
                head=(row["size"], row["frontier"]) if row else (-1, b""),
                checkpoint=str(await connection.fetchval("SELECT note FROM checkpoint") or ""),
                cosigned=[row["note"] for row in await connection.fetch(_COSIGNED)],
                guarded=await _is_guarded(connection),
            )

    @asynccontextmanager
    async def publication(self) -> AsyncIterator[PostgresPublication]:
        """See `Ledger.publication`."""
        async with _translated(), self._pool.acquire() as connection, connection.transaction():
            note = await connection.fetchval("SELECT note FROM checkpoint FOR UPDATE")
            row = await connection.fetchrow("SELECT size, frontier FROM tree")
            yield PostgresPublication(connection, head=_frontier(row), checkpoint=str(note or ""))

    async def cosigned(self) -> Sequence[str]:
        """See `Ledger.cosigned`."""
        async with _translated():
            return [row["note"] for row in await self._pool.fetch(_COSIGNED)]

    async def keep_cosigned(self, witness: str, size: int, checkpoint: str) -> None:
        """See `Ledger.keep_cosigned`."""
        async with _translated():
            await self._pool.execute(
                "INSERT INTO cosigned (witness, size, note) VALUES ($1, $2, $3) ON CONFLICT (witness)"
                " DO UPDATE SET size = $2, note = $3 WHERE cosigned.size <= $2",
                witness,
                size,
                checkpoint,
            )

    async def is_signed(self) -> bool:
        """Whether a checkpoint was ever signed: then the key must be there."""
        async with _translated():
            return bool(await self._pool.fetchval("SELECT note FROM checkpoint"))

    async def cursor(self, target: str) -> int:
        """See `Cursors.cursor`."""
        async with _translated():
            return int(await self._pool.fetchval("SELECT seq FROM forwarded WHERE target = $1", target) or 0)

    async def advance(self, target: str, seq: int) -> None:
        """See `Cursors.advance`."""
        async with _translated():
            await self._pool.execute(
                "INSERT INTO forwarded (target, seq) VALUES ($1, $2)"
                " ON CONFLICT (target) DO UPDATE SET seq = greatest(forwarded.seq, $2)",
                target,
                seq,
            )

    @asynccontextmanager
    async def turn(self, target: str) -> AsyncIterator[bool]:
        """Whether this process is the one that forwards to a receiver, as long as this lasts."""
        async with _translated(), self._pool.acquire() as connection:
            name = f"plexus.audit.{target}"
            mine = bool(await connection.fetchval("SELECT pg_try_advisory_lock(hashtext($1))", name))
            try:
                yield mine
            finally:
                if mine:
                    await connection.execute("SELECT pg_advisory_unlock(hashtext($1))", name)


class PostgresWalk:
    """A look at the log in one transaction."""

    def __init__(
        self,
        connection: Connection,
        *,
        after: int,
        head: tuple[int, bytes],
        checkpoint: str,
        cosigned: Sequence[str],
        guarded: bool,
    ) -> None:
        self._connection = connection
        self._after = after
        self.head = head
        self.checkpoint = checkpoint
        self.cosigned = cosigned
        self.guarded = guarded

    async def batches(self) -> AsyncIterator[Sequence[Entry]]:
        """Every entry, in order."""
        cursor = await self._connection.cursor(
            f"SELECT {_LIST} FROM records WHERE seq > $1 ORDER BY seq",  # noqa: S608  # names of our own
            self._after,
        )
        while rows := await cursor.fetch(_WALK_BATCH):
            yield [_entry(row) for row in rows]


class PostgresPublication:
    """The right to sign, in one transaction."""

    def __init__(self, connection: Connection, *, head: Frontier, checkpoint: str) -> None:
        self._connection = connection
        self.head = head
        self.checkpoint = checkpoint

    async def leaves(self, start: int, end: int) -> list[bytes]:
        """See `Publication.leaves`."""
        rows = await self._connection.fetch(
            "SELECT leaf FROM records WHERE seq > $1 AND seq <= $2 ORDER BY seq", start, end
        )
        return [row["leaf"] for row in rows]

    async def keep(self, checkpoint: str) -> None:
        """See `Publication.keep`."""
        await self._connection.execute("UPDATE checkpoint SET note = $1", checkpoint)


async def _write(connection: Connection, records: dict[str, bytes]) -> None:
    """Add records that are not there to the tree, within a transaction."""
    frontier = _frontier(await connection.fetchrow("SELECT size, frontier FROM tree FOR UPDATE"))
    present = await connection.fetch("SELECT record_id FROM records WHERE record_id = ANY($1::text[])", list(records))
    for found in present:
        del records[found["record_id"]]
    entries = model.entries(frontier.size, records.values())
    if not entries:
        return
    await connection.copy_records_to_table("records", records=map(_row, entries), columns=_COLUMNS)
    grown = frontier.extend(merkle.leaf_hash(entry.leaf) for entry in entries)
    await connection.execute("UPDATE tree SET size = $1, frontier = $2", grown.size, grown.to_bytes())


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
        raise LogBrokenError("the audit log holds a record beyond its tree") from error


def _frontier(row: asyncpg.Record | None) -> Frontier:
    try:
        assert row is not None  # noqa: S101  # the migration made it, a trigger keeps it
        return Frontier.from_bytes(row["size"], row["frontier"])
    except ValueError as error:
        raise LogBrokenError("the audit log's tree is not readable") from error


def _row(entry: Entry) -> tuple[object, ...]:
    return (entry.seq, entry.record, entry.salt, entry.leaf, *astuple(entry.index))


def _entry(row: asyncpg.Record) -> Entry:
    index = Index(**{name: row[name] for name in _INDEX})
    return Entry(row["seq"], row["record"], row["salt"], row["leaf"], index)
