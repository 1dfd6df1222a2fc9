"""The outbox on a real PostgreSQL and a real NATS server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import uuid4

import asyncpg
import nats
import pytest_asyncio
from nats.js.client import JetStreamContext

from services.chassis import database, telemetry
from services.chassis.bus import Bus, connected
from services.chassis.faults import PassingFault
from services.chassis.health import Health
from services.chassis.hearing import MESSAGE_ID
from services.chassis.log import Log
from services.chassis.outbox import CREATE_TABLE, Outbox
from tests.unit.chassis.spans import recorded

LOG = Log("tested")


@dataclass(frozen=True)
class Fact:
    """An event of the test's own."""

    subject: str
    data: bytes = b"data"
    schema: str = "tested.v1.Fact"

    def to_bytes(self) -> bytes:
        """Its bytes."""
        return self.data


@dataclass(frozen=True)
class Place:
    """A stream that no other test uses."""

    name: str
    max_age_seconds: int = 7200

    @property
    def subject(self) -> str:
        """Where facts are said."""
        return f"{self.name}.said"

    @property
    def subjects(self) -> tuple[str, ...]:
        """What the stream keeps."""
        return (self.subject,)


class Server:
    """What the stream has, seen from beside."""

    def __init__(self, stream: JetStreamContext, place: Place) -> None:
        self._stream = stream
        self.place = place

    async def said(self) -> list[bytes]:
        """Every message, in order."""
        last = (await self._stream.stream_info(self.place.name)).state.last_seq
        messages = [await self._stream.get_msg(self.place.name, number) for number in range(1, last + 1)]
        return [message.data or b"" for message in messages]

    async def headers(self) -> dict[str, str]:
        """Headers of the first message."""
        return dict((await self._stream.get_msg(self.place.name, 1)).headers or {})


@pytest_asyncio.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    """A connection to the bus."""
    async with connected(
        nats_url, service="tested", log=LOG, health=Health(), ack_wait_seconds=5, dead_subject="dead"
    ) as found:
        yield found


@pytest_asyncio.fixture
async def server(nats_url: str, bus: Bus) -> AsyncIterator[Server]:
    """A stream of the test's own."""
    place = Place(f"T{uuid4().hex}")
    await bus.ensure([place])
    client = await nats.connect(nats_url)
    yield Server(client.jetstream(), place)
    await client.close()


@pytest_asyncio.fixture
async def pool(database_url: str) -> AsyncIterator[asyncpg.Pool]:
    """A service's schema with an outbox and a table of its own."""
    async with _connected(database_url) as found:
        async with found.acquire() as connection:
            await connection.execute("CREATE SCHEMA tested")
            await connection.execute(CREATE_TABLE)
            await connection.execute("CREATE TABLE thing (name text)")
        yield found


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Pool]:
    async with database.connected(url, schema="tested", size=4, health=Health()) as pool:
        yield pool


@asynccontextmanager
async def relaying(*outboxes: Outbox) -> AsyncIterator[None]:
    """Relays that run during the block."""
    stopping = asyncio.Event()
    tasks = [asyncio.create_task(outbox.relay(stopping)) for outbox in outboxes]
    try:
        yield
    finally:
        stopping.set()
        for outbox in outboxes:
            outbox.wake()
        await asyncio.gather(*tasks)


async def rows(pool: asyncpg.Pool) -> int:
    """How many facts wait in the outbox."""
    return int(await pool.fetchval("SELECT count(*) FROM outbox"))


async def empty(pool: asyncpg.Pool) -> None:
    """Return once nothing waits."""
    while await rows(pool):
        await asyncio.sleep(0.01)


class Unwell(Bus):
    """A bus on which things go wrong as the test wants; what it took is counted."""

    def __init__(self, bus: Bus, *, lose: int = 0, crash_after: int = 0) -> None:
        self._bus = bus
        self._lose = lose
        self._crash_after = crash_after
        self.taken = 0

    async def publish(self, subject: str, data: bytes, headers: dict[str, str]) -> None:
        """Publish, or fail before it, or fail after it."""
        if self._lose:
            self._lose -= 1
            raise PassingFault("bus-unavailable", "away")
        await self._bus.publish(subject, data, headers)
        self.taken += 1
        if self._crash_after:
            self._crash_after -= 1
            raise PassingFault("bus-unavailable", "the answer was lost")


async def test_what_is_committed_is_said(bus: Bus, server: Server, pool: asyncpg.Pool) -> None:
    outbox = Outbox(pool, bus, LOG)
    async with relaying(outbox):
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("INSERT INTO thing VALUES ('a')")
            await outbox.append(connection, Fact(server.place.subject, b"a is there"), message_id="a.there")
        outbox.wake()
        await empty(pool)
    assert await server.said() == [b"a is there"]
    headers = await server.headers()
    assert headers[MESSAGE_ID] == "a.there"
    assert headers["Plexus-Schema"] == "tested.v1.Fact"


async def test_what_is_rolled_back_is_never_said(bus: Bus, server: Server, pool: asyncpg.Pool) -> None:
    outbox = Outbox(pool, bus, LOG)
    async with relaying(outbox):
        async with pool.acquire() as connection:
            transaction = connection.transaction()
            await transaction.start()
            await outbox.append(connection, Fact(server.place.subject, b"never"))
            outbox.wake()
            await asyncio.sleep(0.1)
            await transaction.rollback()
        async with pool.acquire() as connection, connection.transaction():
            await outbox.append(connection, Fact(server.place.subject, b"this"))
        outbox.wake()
        await empty(pool)
    assert await server.said() == [b"this"]


async def test_without_a_wake_it_is_said_all_the_same(bus: Bus, server: Server, pool: asyncpg.Pool) -> None:
    outbox = Outbox(pool, bus, LOG)
    async with relaying(outbox):
        await asyncio.sleep(0.2)
        async with pool.acquire() as connection:
            await outbox.append(connection, Fact(server.place.subject))
        await empty(pool)
    assert len(await server.said()) == 1


async def test_what_waits_from_before_a_start_is_said_in_the_order_of_its_commits(
    bus: Bus, server: Server, pool: asyncpg.Pool
) -> None:
    outbox = Outbox(pool, bus, LOG)
    expected = [str(number).encode() for number in range(250)]
    async with pool.acquire() as connection:
        for data in expected:
            await outbox.append(connection, Fact(server.place.subject, data))
    async with relaying(outbox):
        await empty(pool)
    assert await server.said() == expected


async def test_a_crash_between_saying_and_forgetting_says_it_once(bus: Bus, server: Server, pool: asyncpg.Pool) -> None:
    unwell = Unwell(bus, crash_after=1)
    outbox = Outbox(pool, unwell, LOG)
    async with pool.acquire() as connection:
        await outbox.append(connection, Fact(server.place.subject, b"once"))
    async with relaying(outbox):
        await empty(pool)
    assert unwell.taken == 2
    assert await server.said() == [b"once"]


async def test_while_the_bus_is_away_facts_wait(bus: Bus, server: Server, pool: asyncpg.Pool) -> None:
    outbox = Outbox(pool, Unwell(bus, lose=2), LOG)
    async with pool.acquire() as connection:
        await outbox.append(connection, Fact(server.place.subject, b"late"))
    async with relaying(outbox):
        await empty(pool)
    assert await server.said() == [b"late"]


async def test_two_relays_at_once_say_each_fact_once(
    bus: Bus, server: Server, pool: asyncpg.Pool, database_url: str
) -> None:
    first, second = Unwell(bus), Unwell(bus)
    async with _connected(database_url) as other:
        outboxes = [Outbox(pool, first, LOG), Outbox(other, second, LOG)]
        async with pool.acquire() as connection:
            for number in range(500):
                await outboxes[0].append(connection, Fact(server.place.subject, str(number).encode()))
        async with relaying(*outboxes):
            await empty(pool)
    assert first.taken + second.taken == 500
    assert sorted(await server.said()) == sorted(str(number).encode() for number in range(500))


async def test_a_stop_says_what_is_committed_first(bus: Bus, server: Server, pool: asyncpg.Pool) -> None:
    outbox = Outbox(pool, bus, LOG)
    async with relaying(outbox):
        await asyncio.sleep(0.1)
        async with pool.acquire() as connection:
            await outbox.append(connection, Fact(server.place.subject))
    assert await rows(pool) == 0


async def test_a_fact_carries_the_trace_of_the_transaction_and_not_of_the_relay(
    bus: Bus, server: Server, pool: asyncpg.Pool
) -> None:
    outbox = Outbox(pool, bus, LOG)
    with recorded():
        async with pool.acquire() as connection:
            with telemetry.span("the transaction"):
                expected = telemetry.trace_id()
                await outbox.append(connection, Fact(server.place.subject))
        async with relaying(outbox):
            await empty(pool)
    assert (await server.headers())["traceparent"].split("-")[1] == expected
