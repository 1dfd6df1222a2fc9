"""The bus on a real NATS server with JetStream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import nats
import pytest
import pytest_asyncio
from nats.js.client import JetStreamContext

from services.chassis import telemetry
from services.chassis.bus import MESSAGE_ID, SCHEMA, BatchSubscription, Bus, Delivery, Subscription, connected
from services.chassis.faults import Fault, PassingFault, PermanentFault
from services.chassis.health import Health
from services.chassis.log import Log
from services.launcher.settings import free_port
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
    """Names that no other test uses, and the stream that keeps them."""

    name: str = field(default_factory=lambda: f"T{uuid4().hex}")
    max_age_seconds: int = 7200

    @property
    def subject(self) -> str:
        """Where facts are said."""
        return f"{self.name}.said"

    @property
    def subjects(self) -> tuple[str, ...]:
        """What the stream keeps."""
        return (self.subject, f"{self.dead}.>")

    @property
    def dead(self) -> str:
        """Where messages go that nobody could handle."""
        return f"{self.name}.dead"


@pytest.fixture
def place() -> Place:
    """A stream of the test's own."""
    return Place()


@asynccontextmanager
async def joined(nats_url: str, place: Place, *, ack_wait: float = 5.0) -> AsyncIterator[Bus]:
    """A connection, as a process has one."""
    async with connected(
        nats_url, service="tested", log=LOG, health=Health(), ack_wait_seconds=ack_wait, dead_subject=place.dead
    ) as bus:
        await bus.ensure([place])
        yield bus


@pytest_asyncio.fixture
async def bus(nats_url: str, place: Place) -> AsyncIterator[Bus]:
    """A connection that says."""
    async with joined(nats_url, place) as found:
        yield found


@pytest_asyncio.fixture
async def stream(nats_url: str) -> AsyncIterator[JetStreamContext]:
    """A look at the server from beside."""
    client = await nats.connect(nats_url)
    yield client.jetstream()
    await client.close()


@asynccontextmanager
async def hearing(
    bus: Bus,
    place: Place,
    handle: Callable[[Delivery], Awaitable[None]],
    *,
    failed: Callable[[Delivery, Fault], Awaitable[None]] | None = None,
    concurrency: int = 1,
    consumer: str = "tester",
) -> AsyncIterator[asyncio.Event]:
    """A consumer that runs during the block."""
    stopping = asyncio.Event()
    subscription = Subscription(
        subject=place.subject,
        consumer=consumer,
        stream=place.name,
        handle=handle,
        failed=failed,
        concurrency=concurrency,
    )
    consuming = asyncio.create_task(bus.consume(subscription, stopping))
    try:
        yield stopping
    finally:
        stopping.set()
        await consuming


async def pending(stream: JetStreamContext, place: Place, consumer: str = "tester") -> int:
    """How many messages the consumer has not settled."""
    info = await stream.consumer_info(place.name, consumer)
    return (info.num_pending or 0) + (info.num_ack_pending or 0)


async def until(true: Callable[[], bool]) -> None:
    """Wait for something to become true; the test's own time limit ends it."""
    while not true():
        await asyncio.sleep(0.01)


async def test_a_message_is_acknowledged_after_its_handler_has_returned(
    bus: Bus, place: Place, stream: JetStreamContext
) -> None:
    got: list[Delivery] = []
    release = asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        got.append(delivery)
        await release.wait()

    await bus.say(Fact(place.subject, b"one"), message_id="id-1")
    async with hearing(bus, place, handle):
        await until(lambda: bool(got))
        assert await pending(stream, place) == 1
        release.set()
        while await pending(stream, place):
            await asyncio.sleep(0.01)
    (delivery,) = got
    assert (delivery.subject, delivery.data, delivery.message_id, delivery.attempt) == (
        place.subject,
        b"one",
        "id-1",
        1,
    )
    assert delivery.headers[SCHEMA] == "tested.v1.Fact"


async def test_the_same_message_id_is_one_message(bus: Bus, place: Place, stream: JetStreamContext) -> None:
    for _ in range(3):
        await bus.say(Fact(place.subject), message_id="the-same")
    assert (await stream.stream_info(place.name)).state.messages == 1


async def test_facts_without_an_id_of_their_own_are_each_one_message(
    bus: Bus, place: Place, stream: JetStreamContext
) -> None:
    for _ in range(3):
        await bus.say(Fact(place.subject))
    assert (await stream.stream_info(place.name)).state.messages == 3


async def test_a_passing_fault_is_tried_again(bus: Bus, place: Place, stream: JetStreamContext) -> None:
    attempts: list[int] = []
    done = asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        if delivery.attempt < 3:
            raise PassingFault("peer-unavailable", "not yet")
        done.set()

    await bus.say(Fact(place.subject))
    async with hearing(bus, place, handle):
        await done.wait()
    assert attempts == [1, 2, 3]
    assert await pending(stream, place) == 0


async def test_a_permanent_fault_is_said_once_and_the_message_is_kept_for_replay(
    bus: Bus, place: Place, stream: JetStreamContext
) -> None:
    attempts: list[int] = []
    faults: list[tuple[str, Fault]] = []

    async def handle(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        raise PermanentFault("not-a-volume", "the series is not a volume")

    async def failed(delivery: Delivery, fault: Fault) -> None:
        faults.append((delivery.message_id, fault))

    await bus.say(Fact(place.subject, b"poison"), message_id="id-1")
    async with hearing(bus, place, handle, failed=failed):
        while await _dead(stream, place) == 0:
            await asyncio.sleep(0.01)
        while await pending(stream, place):
            await asyncio.sleep(0.01)
    assert attempts == [1]
    assert [(message_id, fault.code) for message_id, fault in faults] == [("id-1", "not-a-volume")]
    letter = await stream.get_last_msg(place.name, f"{place.dead}.tester")
    assert letter.data == b"poison"
    assert letter.headers is not None
    assert letter.headers["Plexus-Subject"] == place.subject
    assert letter.headers["Plexus-Reason-Code"] == "not-a-volume"
    assert letter.headers[SCHEMA] == "tested.v1.Fact"


async def _dead(stream: JetStreamContext, place: Place) -> int:
    info = await stream.stream_info(place.name, subjects_filter=f"{place.dead}.>")
    return len(info.state.subjects or {})


async def test_what_nobody_foresaw_is_tried_three_times_and_told_without_its_text(
    bus: Bus, place: Place, stream: JetStreamContext
) -> None:
    attempts: list[int] = []
    faults: list[Fault] = []

    async def handle(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        raise ValueError("Doe^Jane")

    async def failed(delivery: Delivery, fault: Fault) -> None:
        faults.append(fault)

    await bus.say(Fact(place.subject))
    async with hearing(bus, place, handle, failed=failed):
        await until(lambda: bool(faults))
        while await pending(stream, place):
            await asyncio.sleep(0.01)
    assert attempts == [1, 2, 3]
    (fault,) = faults
    assert fault.code == "internal"
    assert "Doe" not in str(fault)


async def test_a_message_whose_fault_could_not_be_said_is_not_given_up(
    bus: Bus, place: Place, stream: JetStreamContext
) -> None:
    told: list[int] = []

    async def handle(delivery: Delivery) -> None:
        raise PermanentFault("code", "reason")

    async def failed(delivery: Delivery, fault: Fault) -> None:
        told.append(delivery.attempt)
        if len(told) == 1:
            raise PassingFault("bus-unavailable", "not now")

    await bus.say(Fact(place.subject))
    async with hearing(bus, place, handle, failed=failed):
        await until(lambda: len(told) == 2)
        while await pending(stream, place):
            await asyncio.sleep(0.01)
    assert await _dead(stream, place) == 1


async def test_one_bad_message_does_not_hold_up_the_next(bus: Bus, place: Place) -> None:
    got: list[bytes] = []

    async def handle(delivery: Delivery) -> None:
        if delivery.data == b"bad":
            raise ValueError
        got.append(delivery.data)

    await bus.say(Fact(place.subject, b"bad"))
    await bus.say(Fact(place.subject, b"good"))
    async with hearing(bus, place, handle):
        await until(lambda: got == [b"good"])


async def test_the_message_of_a_killed_consumer_goes_to_the_next(nats_url: str, bus: Bus, place: Place) -> None:
    begun, got = asyncio.Event(), asyncio.Event()
    attempts: list[int] = []

    async def hang(delivery: Delivery) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def handle(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        got.set()

    await bus.say(Fact(place.subject))
    async with joined(nats_url, place, ack_wait=1.0) as first:
        subscription = Subscription(subject=place.subject, consumer="tester", stream=place.name, handle=hang)
        killed = asyncio.create_task(first.consume(subscription, asyncio.Event()))
        await begun.wait()
        killed.cancel()
        await asyncio.gather(killed, return_exceptions=True)
    async with joined(nats_url, place, ack_wait=1.0) as second, hearing(second, place, handle):
        await got.wait()
    assert attempts == [2]


async def test_a_message_that_no_process_survives_is_given_up(nats_url: str, bus: Bus, place: Place) -> None:
    begun, failed = asyncio.Event(), asyncio.Event()
    codes: list[str] = []

    async def hang(delivery: Delivery) -> None:
        begun.set()
        await asyncio.Event().wait()

    async def on_failed(delivery: Delivery, fault: Fault) -> None:
        codes.append(fault.code)
        failed.set()

    await bus.say(Fact(place.subject))
    subscription = Subscription(
        subject=place.subject, consumer="tester", stream=place.name, handle=hang, failed=on_failed, tries=1
    )
    for wanted in (begun, failed):
        async with joined(nats_url, place, ack_wait=1.0) as each:
            killed = asyncio.create_task(each.consume(subscription, asyncio.Event()))
            await wanted.wait()
            killed.cancel()
            await asyncio.gather(killed, return_exceptions=True)
    assert codes == ["given-up"]


async def test_a_slow_handler_keeps_its_message(nats_url: str, place: Place, stream: JetStreamContext) -> None:
    attempts: list[int] = []

    async def handle(delivery: Delivery) -> None:
        attempts.append(delivery.attempt)
        await asyncio.sleep(3)

    async with joined(nats_url, place, ack_wait=1.0) as bus, joined(nats_url, place, ack_wait=1.0) as other:
        await bus.say(Fact(place.subject))
        async with hearing(bus, place, handle), hearing(other, place, handle):
            await until(lambda: bool(attempts))
            while await pending(stream, place):
                await asyncio.sleep(0.01)
    assert attempts == [1]


async def test_a_consumer_handles_as_many_messages_at_a_time_as_it_was_told(bus: Bus, place: Place) -> None:
    at_once, most = 0, 0
    done: list[bytes] = []

    async def handle(delivery: Delivery) -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.2)
        at_once -= 1
        done.append(delivery.data)

    for number in range(9):
        await bus.say(Fact(place.subject, str(number).encode()))
    async with hearing(bus, place, handle, concurrency=3):
        await until(lambda: len(done) == 9)
    assert most == 3


async def test_stopping_finishes_the_message_in_hand(bus: Bus, place: Place, stream: JetStreamContext) -> None:
    begun, finished = asyncio.Event(), False

    async def handle(delivery: Delivery) -> None:
        nonlocal finished
        begun.set()
        await asyncio.sleep(0.5)
        finished = True

    await bus.say(Fact(place.subject))
    await bus.say(Fact(place.subject))
    async with hearing(bus, place, handle) as stopping:
        await begun.wait()
        stopping.set()
    assert finished
    while await pending(stream, place) != 1:  # the server may hear the acknowledgement a moment later
        await asyncio.sleep(0.05)


async def test_a_consumer_waits_for_a_stream_that_is_not_made_yet(nats_url: str, place: Place) -> None:
    got = asyncio.Event()

    async def handle(delivery: Delivery) -> None:
        got.set()

    async with connected(
        nats_url, service="tested", log=LOG, health=Health(), ack_wait_seconds=5, dead_subject=place.dead
    ) as bus:
        with pytest.raises(PassingFault, match="bus-unavailable"):
            await bus.say(Fact(place.subject))
        async with hearing(bus, place, handle):
            await asyncio.sleep(0.2)
            await bus.ensure([place])
            await bus.say(Fact(place.subject))
            await got.wait()


async def test_streams_may_be_made_again_and_with_another_setting(
    bus: Bus, place: Place, stream: JetStreamContext
) -> None:
    await bus.ensure([place])
    await bus.ensure([Place(place.name, max_age_seconds=9000)])
    assert (await stream.stream_info(place.name)).config.max_age == 9000


async def test_a_handler_is_in_the_trace_of_who_said_the_fact(bus: Bus, place: Place) -> None:
    seen: list[str] = []

    async def handle(delivery: Delivery) -> None:
        seen.append(telemetry.trace_id())

    with recorded() as exporter:
        with telemetry.span("the sender"):
            expected = telemetry.trace_id()
            await bus.say(Fact(place.subject), message_id="id")
        async with hearing(bus, place, handle):
            await until(lambda: bool(seen))
        spans = {span.name: span for span in exporter.get_finished_spans()}
    assert seen == [expected]
    process, publish = spans[f"{place.subject} process"], spans[f"{place.subject} publish"]
    assert process.parent is not None
    assert publish.context is not None
    assert process.parent.span_id == publish.context.span_id


async def test_what_may_be_lost_is_heard_by_everyone_who_listens(nats_url: str, bus: Bus, place: Place) -> None:
    heard: list[bytes] = []

    async def hear(data: bytes) -> None:
        heard.append(data)

    async with joined(nats_url, place) as other:
        for listener in (bus, other):
            await listener.overhear(f"{place.name}.mentioned", hear)
        await asyncio.sleep(0.2)
        await bus.mention(Fact(f"{place.name}.mentioned", b"3 of 5"))
        await until(lambda: len(heard) == 2)
    assert heard == [b"3 of 5", b"3 of 5"]


async def test_a_bus_without_a_server_is_not_ready_and_does_not_take_facts(place: Place) -> None:
    health = Health()
    health.started = True
    server = await asyncio.create_subprocess_exec(*_server(port := free_port()), stderr=asyncio.subprocess.DEVNULL)
    async with connected(
        f"nats://127.0.0.1:{port}", service="tested", log=LOG, health=health, ack_wait_seconds=5, dead_subject="dead"
    ) as bus:
        assert await health.failing() == []
        server.kill()
        await server.wait()
        await bus.mention(Fact(place.subject))  # never raises
        with pytest.raises(PassingFault):
            await bus.say(Fact(place.subject))
        assert await health.failing() == ["bus"]


def _server(port: int) -> list[str]:
    import sys
    from pathlib import Path

    return [str(Path(sys.prefix) / "bin" / "nats-server"), "-a", "127.0.0.1", "-p", str(port)]


async def test_a_message_keeps_its_id_across_the_bus(bus: Bus, place: Place) -> None:
    got: list[Delivery] = []

    async def handle(delivery: Delivery) -> None:
        got.append(delivery)

    await bus.publish(place.subject, b"raw", {MESSAGE_ID: "abc", "Other": "kept"})
    async with hearing(bus, place, handle):
        await until(lambda: bool(got))
    assert (got[0].message_id, got[0].headers["Other"]) == ("abc", "kept")


async def test_what_is_unfinished_is_what_waits_is_in_hand_or_comes_again(bus: Bus, place: Place) -> None:
    assert await bus.unfinished(place.name, "tester") == 0  # nobody has heard yet
    begun, release, tries = asyncio.Event(), asyncio.Event(), [0]

    async def handle(delivery: Delivery) -> None:
        tries[0] += 1
        begun.set()
        await release.wait()
        if tries[0] == 1:
            raise PassingFault("away", "away")

    async with hearing(bus, place, handle):
        for _ in range(3):
            await bus.say(Fact(place.subject))
        await begun.wait()
        assert await bus.unfinished(place.name, "tester") == 3
        release.set()
        await until(lambda: tries[0] == 3)
        left = await bus.unfinished(place.name, "tester")
        assert left >= 1 or tries[0] == 4  # the one that comes again
        await until(lambda: tries[0] == 4)
        while await bus.unfinished(place.name, "tester"):
            await asyncio.sleep(0.01)


@asynccontextmanager
async def hearing_batches(
    bus: Bus, place: Place, *, most: int, gather_seconds: float
) -> AsyncIterator[list[list[bytes]]]:
    """A consumer of many messages at a time; gives what came together."""
    batches: list[list[bytes]] = []

    async def handle(deliveries: Sequence[Delivery]) -> Mapping[int, PermanentFault]:
        batches.append([each.data for each in deliveries])
        return {}

    stopping = asyncio.Event()
    subscription = BatchSubscription(place.subject, "tester", place.name, handle, most, gather_seconds)
    consuming = asyncio.create_task(bus.consume_batches(subscription, stopping))
    try:
        yield batches
    finally:
        stopping.set()
        await consuming


async def test_messages_that_come_one_after_another_are_handled_together(bus: Bus, place: Place) -> None:
    said = [f"{number}".encode() for number in range(20)]
    async with hearing_batches(bus, place, most=50, gather_seconds=1) as batches:
        for data in said:
            await bus.say(Fact(place.subject, data))
        await until(lambda: sum(map(len, batches)) == len(said))
    assert [data for batch in batches for data in batch] == said
    assert len(batches) < len(said) // 2


async def test_a_batch_that_is_full_waits_for_nothing(bus: Bus, place: Place) -> None:
    for number in range(8):
        await bus.say(Fact(place.subject, f"{number}".encode()))
    async with hearing_batches(bus, place, most=4, gather_seconds=3600) as batches:
        await until(lambda: len(batches) == 2)
    assert sorted(map(len, batches)) == [4, 4]
