"""The log in a real PostgreSQL: append-only, one writer at a time, and every edit is found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from services.audit import handlers, model
from services.audit.adapters.postgres import PostgresLedger
from services.audit.errors import LogUnavailableError
from services.audit.handlers import Verdict
from services.audit.model import Break, Flaw, LogQuery
from services.chassis import database
from services.chassis.health import Health
from services.chassis.principal import Principal
from services.contracts.events import AuditRecorded

ANN = Principal("ann")


def recorded(number: int, **fields: Any) -> AuditRecorded:
    record = AuditRecorded(
        f"{number:032x}", f"2026-11-21T12:00:{number % 60:02}Z", "archive", "retrieve", "success", caller="ann"
    )
    return replace(record, **fields)


@dataclass
class Log:
    """The log, and the database behind it as its owner sees it."""

    ledger: PostgresLedger
    pool: asyncpg.Pool

    async def fill(self, records: int) -> None:
        await asyncio.gather(*(handlers.record(recorded(number), ledger=self.ledger) for number in range(records)))

    async def verify(self) -> Verdict:
        return await handlers.verify(principal=ANN, ledger=self.ledger)

    async def tamper(self, *statements: str) -> None:
        """As one who owns the tables, and switches their guard off for it."""
        async with self.pool.acquire() as connection:
            await connection.execute("ALTER TABLE records DISABLE TRIGGER append_only")
            for statement in statements:
                await connection.execute(statement)
            await connection.execute("ALTER TABLE records ENABLE ALWAYS TRIGGER append_only")


@pytest_asyncio.fixture
async def log(database_url: str) -> AsyncIterator[Log]:
    await database.migrate(database_url, package="services.audit", schema="audit")
    async with database.connected(database_url, schema="audit", size=4, health=Health()) as pool:
        yield Log(PostgresLedger(pool), pool)


async def test_records_are_numbered_without_a_gap_and_linked(log: Log) -> None:
    await log.fill(1200)
    entries = list(reversed(await log.ledger.find(LogQuery(limit=2000))))
    assert [entry.seq for entry in entries] == list(range(1, 1201))
    assert model.check(model.Head(), entries) == model.Head(1200, entries[-1].hash)
    verdict = await log.verify()
    assert (verdict.records, verdict.broken, verdict.guarded) == (1200, None, True)


async def test_a_record_that_comes_twice_is_kept_once(log: Log) -> None:
    await log.fill(5)
    await log.fill(7)
    await asyncio.gather(*(handlers.record(recorded(9), ledger=log.ledger) for _ in range(5)))
    assert len(await log.ledger.find(LogQuery())) == 8


async def test_several_processes_write_one_chain(log: Log) -> None:
    others = [log, Log(PostgresLedger(log.pool), log.pool), Log(PostgresLedger(log.pool), log.pool)]
    await asyncio.gather(*(other.fill(300) for other in others))
    verdict = await log.verify()
    assert (verdict.records, verdict.broken) == (300, None)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE records SET caller = 'eve'",
        "UPDATE records SET caller = caller WHERE false",
        "DELETE FROM records WHERE seq = 2",
        "TRUNCATE records",
        "DELETE FROM head",
        "INSERT INTO head (seq, hash) VALUES (0, '')",
        "TRUNCATE head",
        "SET session_replication_role = replica; DELETE FROM records",
    ],
)
async def test_the_database_refuses_to_change_what_is_written(log: Log, statement: str) -> None:
    await log.fill(3)
    async with log.pool.acquire() as connection:
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
            await connection.execute(statement)
        await connection.execute("RESET session_replication_role")
    verdict = await log.verify()
    assert (verdict.records, verdict.broken) == (3, None)


async def test_a_guard_that_is_off_is_told_of(log: Log) -> None:
    await log.pool.execute("ALTER TABLE records DISABLE TRIGGER append_only")
    assert not (await log.verify()).guarded
    await log.pool.execute("ALTER TABLE records ENABLE TRIGGER append_only")
    assert not (await log.verify()).guarded  # a session that plays a replica would pass
    await log.pool.execute("ALTER TABLE records ENABLE ALWAYS TRIGGER append_only")
    assert (await log.verify()).guarded
    await log.pool.execute("DROP TRIGGER one_head ON head")
    assert not (await log.verify()).guarded


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["UPDATE records SET record = set_byte(record, 20, get_byte(record, 20) # 1) WHERE seq = 4"], (4, Flaw.HASH)),
        (["UPDATE records SET hash = set_byte(hash, 0, get_byte(hash, 0) # 1) WHERE seq = 4"], (4, Flaw.HASH)),
        (["UPDATE records SET prev_hash = set_byte(prev_hash, 9, get_byte(prev_hash, 9) # 1) WHERE seq = 4"],
         (4, Flaw.LINK)),
        (["UPDATE records SET caller = 'eve' WHERE seq = 4"], (4, Flaw.INDEX)),
        (["UPDATE records SET at = at + interval '1 day' WHERE seq = 4"], (4, Flaw.INDEX)),
        (["DELETE FROM records WHERE seq = 4"], (5, Flaw.GAP)),
        (["DELETE FROM records WHERE seq = 4", "UPDATE records SET seq = seq - 1 WHERE seq > 4"], (4, Flaw.LINK)),
        (["DELETE FROM records WHERE seq = 1"], (2, Flaw.GAP)),
        (["DELETE FROM records WHERE seq > 7"], (8, Flaw.HEAD)),
        (["UPDATE records SET seq = 100 WHERE seq = 3", "UPDATE records SET seq = 3 WHERE seq = 6",
          "UPDATE records SET seq = 6 WHERE seq = 100"], (3, Flaw.LINK)),
        (["INSERT INTO records SELECT 11, record, hash, sha256(hash || record), 'new', at, action, caller, '', '', ''"
          " FROM records WHERE seq = 10"], (11, Flaw.INDEX)),
        (["DELETE FROM records"], (1, Flaw.HEAD)),
    ],
)  # fmt: skip
async def test_every_edit_is_found_at_its_record(log: Log, statements: list[str], found: tuple[int, Flaw]) -> None:
    await log.fill(10)
    await log.tamper(*statements)
    assert (await log.verify()).broken == Break(*found)


async def test_records_are_found_by_what_is_asked(log: Log) -> None:
    records = [
        recorded(1, study_instance_uid="1.2", series_instance_uid="1.2.3"),
        recorded(2, study_instance_uid="1.2", action="store", caller="PACS"),
        recorded(3, job_id="a" * 32, action="job", at="2026-11-22T00:00:00+01:00"),
        recorded(4, at="no time at all"),
    ]
    for record in records:
        await handlers.record(record, ledger=log.ledger)
    day = datetime(2026, 11, 21, tzinfo=UTC)
    for query, found in [
        (LogQuery(study_instance_uid="1.2"), [2, 1]),
        (LogQuery(series_instance_uid="1.2.3"), [1]),
        (LogQuery(study_instance_uid="1.2", action="store"), [2]),
        (LogQuery(caller="PACS"), [2]),
        (LogQuery(job_id="a" * 32), [3]),
        (LogQuery(since=day.replace(hour=13)), [3]),
        (LogQuery(since=day, until=day.replace(hour=13)), [2, 1]),
        (LogQuery(after=3, limit=1), [2]),
    ]:
        assert [entry.seq for entry in await log.ledger.find(query)] == found


async def test_a_record_that_holds_anything_at_all_is_kept_and_does_not_stop_others(log: Log) -> None:
    odd = recorded(1, caller="\x00" * 500_000, source="'; DROP TABLE records; --", detail="\u202e\ufffe\U0001f9a0")
    await asyncio.gather(
        handlers.record(odd, ledger=log.ledger), *(handlers.record(recorded(n), ledger=log.ledger) for n in (2, 3))
    )
    verdict = await log.verify()
    assert (verdict.records, verdict.broken) == (3, None)


async def test_a_database_that_is_away_is_a_passing_fault(log: Log) -> None:
    await log.pool.close()
    with pytest.raises(LogUnavailableError):
        await handlers.record(recorded(1), ledger=log.ledger)
    with pytest.raises(LogUnavailableError):
        await handlers.read(LogQuery(), principal=ANN, ledger=log.ledger)
