"""The ledger's one statement for what is new in a known series, beside its transaction for everything else."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from services.chassis import database
from services.chassis.health import Health
from services.chassis.principal import Principal
from services.contracts import subjects
from services.contracts.events import AuditRecorded, InstancesStored
from services.dicom import uids
from services.dicom.part10 import parse_instance
from services.ingest.adapters.ledger import PostgresLedger
from services.ingest.model import Offer
from services.store import erasing
from services.store.changes import ChangeFeed
from services.store.index import bytes_alone
from services.store.model import Entry, Written
from tests.unit.ingest.made import made


class Relay:
    """Stands for the relay of the outbox, which these tests read themselves."""

    def wake(self) -> None:
        """Nothing."""


@dataclass
class Process:
    """The ledger of a process of ingest, and one delivery that it takes."""

    pool: asyncpg.Pool
    ledger: PostgresLedger
    delivery: UUID = field(default_factory=uuid4)

    async def record(self, *entries: Entry) -> list[Written]:
        """What becomes of entries that come together."""
        offers = [Offer(entry, self.delivery, Principal("ae:CT"), "trace") for entry in entries]
        return list(await asyncio.gather(*map(self.ledger.record, offers)))


@pytest.fixture
async def processes(database_url: str) -> AsyncIterator[tuple[Process, Process]]:
    await database.migrate(database_url, package="services.store", schema="index")
    async with AsyncExitStack() as parts:
        made_here = []
        for _ in range(2):
            pool = await parts.enter_async_context(
                database.connected(database_url, schema="index", size=2, health=Health(), stateless=True)
            )
            made_here.append(Process(pool, PostgresLedger(pool, Relay(), bytes_alone)))  # type: ignore[arg-type]  # all that it asks of it
        yield made_here[0], made_here[1]


def entries(count: int, **attributes: str) -> list[Entry]:
    """Instances of one series."""
    names: dict[str, Any] = {"StudyInstanceUID": uids.new_uid(), "SeriesInstanceUID": uids.new_uid()} | attributes
    return [entry(made(**names, InstanceNumber=number)) for number in range(count)]


def entry(file: bytes) -> Entry:
    return Entry.of(parse_instance(file), digest=hashlib.sha256(file).hexdigest(), size=len(file))


async def whole(pool: asyncpg.Pool) -> None:
    """The index says of itself what its rows say."""
    for table, below in (("series", "instance i WHERE i.series = t.id"), ("study", "series s WHERE s.study = t.id")):
        of = "count(*)" if table == "series" else "sum(s.instance_count)"
        assert not await pool.fetch(
            f"SELECT FROM index.{table} t WHERE instance_count <> (SELECT {of} FROM index.{below})"
        )
    fed = await ChangeFeed(pool).since(0, 10_000)
    assert [each.number for each in fed] == list(range(1, len(fed) + 1))
    assert await pool.fetchval("SELECT count(*) FROM index.settling WHERE pending") == await pool.fetchval(
        "SELECT count(*) FROM index.series"
    )


async def said(pool: asyncpg.Pool) -> tuple[list[str], int]:
    """SOP Instance UIDs of all that was said to be stored, and how many instances the audit records name."""
    rows = await pool.fetch("SELECT subject, data FROM index.outbox ORDER BY position")
    stored = [InstancesStored.from_bytes(row["data"]) for row in rows if row["subject"] == subjects.INSTANCE_STORED]
    records = [AuditRecorded.from_bytes(row["data"]) for row in rows if row["subject"] == subjects.AUDIT_RECORDED]
    return [uid for each in stored for uid in each.sop_instance_uids], sum(each.instances for each in records)


async def test_each_instance_of_a_series_is_written_counted_fed_and_said_once(
    processes: tuple[Process, Process],
) -> None:
    one, _ = processes
    sent = entries(6)

    results = [
        await one.record(sent[0]),
        await one.record(*sent[1:4]),
        await one.record(sent[4]),
        await one.record(sent[5]),
    ]

    assert [each for result in results for each in result] == [Written.STORED] * 6
    await whole(one.pool)
    names = [each.sop_instance_uid for each in sent]
    assert [each.sop_instance_uid for each in await ChangeFeed(one.pool).since(0, 100)] == names
    assert await said(one.pool) == (names, 6)


async def test_a_delivery_that_goes_on_with_a_series_of_another_one_is_noted_with_it(
    processes: tuple[Process, Process],
) -> None:
    one, _ = processes
    sent = entries(3)
    first, second = one.delivery, uuid4()
    await one.record(sent[0])
    await one.record(sent[1])
    one.delivery = second

    assert await one.record(sent[2]) == [Written.STORED]

    rows = await one.pool.fetch("SELECT delivery FROM index.delivery_series JOIN index.delivery d ON d.id = delivery")
    assert {row["delivery"] for row in rows} == {first, second}
    await whole(one.pool)


async def test_what_is_there_already_is_told_apart_from_what_is_new_beside_it(
    processes: tuple[Process, Process],
) -> None:
    one, _ = processes
    sent = entries(5)
    same_name = entry(
        made(
            StudyInstanceUID=sent[0].study_instance_uid,
            SeriesInstanceUID=sent[0].series_instance_uid,
            SOPInstanceUID=sent[0].sop_instance_uid,
            PatientName="Other",
        )
    )
    await one.record(sent[0])
    await one.record(sent[1])

    assert await one.record(sent[2], sent[1], sent[2], same_name) == [
        Written.STORED,
        Written.UNCHANGED,
        Written.UNCHANGED,
        Written.KEPT_FIRST,
    ]
    assert await one.record(sent[3]) == [Written.STORED]
    assert await one.record(sent[4]) == [Written.STORED]
    assert await one.record(sent[4]) == [Written.UNCHANGED]

    await whole(one.pool)
    assert (await said(one.pool))[0] == [each.sop_instance_uid for each in sent]


async def test_a_series_that_is_erased_while_it_comes_is_there_again_with_what_came_after(
    processes: tuple[Process, Process],
) -> None:
    one, other = processes
    sent = entries(4)
    await one.record(sent[0])
    await one.record(sent[1])
    async with other.pool.acquire() as connection, connection.transaction():
        await erasing.erase(connection, sent[0].study_instance_uid)

    assert await one.record(sent[2]) == [Written.STORED]
    assert await one.record(sent[3]) == [Written.STORED]

    await whole(one.pool)
    assert await one.pool.fetchval("SELECT instance_count FROM index.study") == 2
    assert await one.pool.fetchval("SELECT count(*) FROM index.delivery_series WHERE delivery = $1", one.delivery) == 1


async def test_two_processes_that_bring_the_same_series_and_much_of_the_same_write_each_instance_once(
    processes: tuple[Process, Process],
) -> None:
    sent = entries(40)
    other_series = entries(20, StudyInstanceUID=sent[0].study_instance_uid)

    async def bring(process: Process, what: Sequence[Entry]) -> list[Written]:
        return [result for each in what for result in await process.record(each)]

    first, second = await asyncio.gather(
        bring(processes[0], sent[:30] + other_series), bring(processes[1], sent[20:] + other_series[::-1])
    )

    assert Counter(first + second) == {Written.STORED: 60, Written.UNCHANGED: 30}
    await whole(processes[0].pool)
    assert sorted((await said(processes[0].pool))[0]) == sorted(each.sop_instance_uid for each in sent + other_series)
