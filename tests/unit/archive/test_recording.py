"""Accesses that come by thousands: nothing is served that no record names, and the records tell the truth."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from services.archive.errors import NoSuchFrame, NotAcceptable
from services.archive.handlers.recording import Accesses
from services.archive.model import Purpose, Resource
from services.chassis.faults import PassingFault
from services.chassis.principal import Principal
from services.contracts.events import Action

ALICE, BOB = Principal("alice", source="10.0.0.1"), Principal("bob")
FIRST, SECOND = (Resource("1.2", "1.2.3", f"1.2.3.{number}") for number in (1, 2))
OTHER = Resource("1.2", "1.2.4", "1.2.4.1")


@dataclass
class Said:
    """The bus, which may be away."""

    records: list[Any] = field(default_factory=list)
    away: bool = False
    held: asyncio.Event = field(default_factory=asyncio.Event)

    async def say(self, event: Any, *, message_id: str | None = None) -> None:
        await self.held.wait()
        if self.away:
            raise PassingFault("bus-unavailable", "away")
        assert message_id == event.record_id
        self.records.append(event)

    def told(self) -> list[tuple[str, str, str, int, int, int]]:
        return [
            (each.caller, each.series_instance_uid, each.detail, each.instances, each.frames, each.bytes)
            for each in self.records
        ]


@dataclass
class Kept:
    """The database, which may be away; `stale`: all in it was kept long ago."""

    rows: dict[str, Any] = field(default_factory=dict)
    away: bool = False
    stale: bool = False
    times: int = 0

    async def keep(self, totals: Iterable[Any]) -> None:
        if self.away:
            raise PassingFault("index-unavailable", "away")
        self.times += 1
        self.rows |= {each.record_id: each for each in totals}

    async def forget(self, record_ids: Sequence[str]) -> None:
        for each in record_ids:
            self.rows.pop(each, None)

    async def left(self, seconds: float) -> list[Any]:
        assert seconds == 120
        return list(self.rows.values()) if self.stale else []


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def said() -> Said:
    """The bus."""
    made = Said()
    made.held.set()
    return made


@pytest.fixture
def clock() -> Clock:
    """The time."""
    return Clock()


@pytest.fixture
def accesses(said: Said, clock: Clock) -> Accesses:
    """What is tested."""
    return Accesses(events=said, clock=clock)


async def test_the_first_access_is_recorded_and_the_others_are_counted(
    accesses: Accesses, said: Said, clock: Clock
) -> None:
    for resource in (FIRST, SECOND, SECOND):
        await accesses.note(resource, "frames", caller=ALICE, frames=2, size=100)
    assert said.told() == [("alice", "1.2.3", "frames", 1, 2, 100)]
    assert said.records[0].sop_instance_uid == "1.2.3.1"
    assert said.records[0].source == "10.0.0.1"

    clock.now = 60.5
    await accesses.sum_up()
    assert said.told()[1:] == [("alice", "1.2.3", "frames-total", 2, 6, 300)]
    assert said.records[1].sop_instance_uid == ""
    assert len({each.record_id for each in said.records}) == 2
    assert {each.outcome for each in said.records} == {"success"}
    await accesses.sum_up(everything=True)
    assert len(said.records) == 2


async def test_every_caller_series_and_kind_has_its_own_records(accesses: Accesses, said: Said) -> None:
    for caller in (ALICE, BOB):
        for resource in (FIRST, SECOND, OTHER):
            for detail in ("frames", "rendered"):
                await accesses.note(resource, detail, caller=caller)
    assert len(said.records) == 2 * 2 * 2


async def test_of_a_whole_series_the_number_of_its_instances_is_told(accesses: Accesses, said: Said) -> None:
    for _ in range(2):
        await accesses.note(Resource("1.2", "1.2.3"), "metadata", caller=ALICE, instances=200)
    await accesses.sum_up(everything=True)
    assert [(each.detail, each.instances) for each in said.records] == [("metadata", 200), ("metadata-total", 200)]


async def test_an_access_of_one_request_needs_no_sum(accesses: Accesses, said: Said) -> None:
    await accesses.note(FIRST, "frames", caller=ALICE, frames=1, size=10)
    await accesses.sum_up(everything=True)
    assert len(said.records) == 1


async def test_an_access_begins_anew_after_a_while_and_never_lasts_too_long(
    accesses: Accesses, said: Said, clock: Clock
) -> None:
    for second in range(0, 660, 30):
        clock.now = float(second)
        await accesses.note(FIRST, "frames", caller=ALICE, frames=1)
    assert [each.detail for each in said.records] == ["frames", "frames"]
    await accesses.sum_up()
    assert said.records[-1].detail == "frames-total"
    assert said.records[-1].frames == 21
    clock.now += 61
    await accesses.note(FIRST, "frames", caller=ALICE, frames=1)
    assert said.records[-1].detail == "frames"


async def test_nobody_is_served_before_the_record_is_durable(accesses: Accesses, said: Said) -> None:
    said.held.clear()
    waiting = [asyncio.create_task(accesses.note(FIRST, "frames", caller=ALICE)) for _ in range(5)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not any(each.done() for each in waiting)
    waiting[0].cancel()  # the first goes away: the others still have its record
    said.held.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(results[0], asyncio.CancelledError)
    assert results[1:] == [None] * 4
    assert len(said.records) == 1


async def test_nothing_is_served_while_the_record_cannot_be_said(accesses: Accesses, said: Said) -> None:
    said.away = True
    for _ in range(2):
        with pytest.raises(PassingFault):
            await accesses.note(FIRST, "frames", caller=ALICE)
    said.away = False
    await accesses.note(FIRST, "frames", caller=ALICE)
    assert len(said.records) == 1


async def test_a_sum_that_cannot_be_said_is_said_later(accesses: Accesses, said: Said, clock: Clock) -> None:
    await accesses.note(FIRST, "frames", caller=ALICE)
    await accesses.note(SECOND, "frames", caller=ALICE)
    said.away, clock.now = True, 100.0
    await accesses.sum_up()
    assert len(said.records) == 1
    said.away = False
    await accesses.sum_up()
    assert said.records[1].detail == "frames-total"


async def test_the_oldest_makes_room_when_too_many_are_open(said: Said, clock: Clock) -> None:
    accesses = Accesses(events=said, clock=clock, most=3)
    for series in range(5):
        for _ in range(2):
            await accesses.note(Resource("1.2", f"1.2.{series}", "1.2.9"), "frames", caller=ALICE)
    await accesses.sum_up()
    assert [each.series_instance_uid for each in said.records if each.detail == "frames-total"] == ["1.2.0", "1.2.1"]


@pytest.mark.parametrize("fault", [NoSuchFrame(), NotAcceptable(["a/b"])])
async def test_a_refusal_is_a_record_of_its_own(accesses: Accesses, said: Said, fault: Any) -> None:
    await accesses.note(FIRST, "frames", caller=ALICE)
    await accesses.refuse(FIRST, "frames", fault, caller=ALICE)
    refused = said.records[1]
    assert (refused.outcome, refused.reason_code, refused.instances) == ("refused", fault.code, 0)


async def test_sums_are_said_while_the_service_runs(said: Said, clock: Clock) -> None:
    accesses = Accesses(events=said, clock=clock)
    stopping = asyncio.Event()
    running = asyncio.create_task(accesses.run(stopping, every_seconds=0.001))
    await accesses.note(FIRST, "frames", caller=ALICE)
    await accesses.note(FIRST, "frames", caller=ALICE)
    clock.now = 100.0
    async with asyncio.timeout(20):
        while len(said.records) < 2:
            await asyncio.sleep(0.001)
    stopping.set()
    await running


async def test_what_goes_on_to_another_system_is_a_transfer_of_its_own(
    accesses: Accesses, said: Said, clock: Clock
) -> None:
    there, elsewhere = Purpose.towards("PACS", "10.0.0.9"), Purpose.towards("OTHER", "10.0.0.8")
    for purpose in (Purpose(), there, there, elsewhere):
        await accesses.note(FIRST, "instance", caller=ALICE, size=10, purpose=purpose)
    await accesses.refuse(SECOND, "instance", NoSuchFrame(), caller=ALICE, purpose=there)
    await accesses.sum_up(everything=True)
    assert [(each.action, each.outcome, each.detail, each.destination, each.destination_address, each.bytes)
            for each in said.records] == [
        ("retrieve", "success", "instance", "", "", 10),
        ("transfer-out", "success", "instance", "PACS", "10.0.0.9", 10),
        ("transfer-out", "success", "instance", "OTHER", "10.0.0.8", 10),
        ("transfer-out", "refused", "instance", "PACS", "10.0.0.9", 0),
        ("transfer-out", "success", "instance-total", "PACS", "10.0.0.9", 20),
    ]  # fmt: skip


async def test_what_a_killed_process_has_counted_is_said_by_another(said: Said, clock: Clock) -> None:
    kept = Kept()
    killed = Accesses(events=said, totals=kept, clock=clock)
    await killed.note(FIRST, "frames", caller=ALICE, frames=1, size=10)
    await killed.keep()
    assert (kept.times, kept.rows) == (0, {})  # the first record tells all there is
    for resource in (FIRST, SECOND):
        await killed.note(resource, "frames", caller=ALICE, frames=1, size=10)
    await killed.keep()
    await killed.keep()
    assert kept.times == 1  # nothing has changed since
    del killed

    other = Accesses(events=said, totals=kept, clock=clock)
    await other.take_over()
    assert len(said.records) == 1  # its owner may live
    kept.stale, clock.now = True, 30.0
    await other.take_over()
    assert said.told()[-1] == ("alice", "1.2.3", "frames-total", 2, 3, 30)
    assert not kept.rows


async def test_a_total_that_was_said_is_forgotten_and_one_that_could_not_be_kept_is_kept_later(
    said: Said, clock: Clock
) -> None:
    kept = Kept(away=True)
    accesses = Accesses(events=said, totals=kept, clock=clock)
    for resource in (FIRST, SECOND):
        await accesses.note(resource, "frames", caller=ALICE, frames=1, size=10)
    await accesses.keep()
    kept.away = False
    await accesses.keep()
    assert [each.frames for each in kept.rows.values()] == [2]
    await accesses.sum_up(everything=True)
    assert not kept.rows
    assert said.told()[-1][2:] == ("frames-total", 2, 2, 20)


async def test_an_export_whose_record_cannot_be_written_is_refused(accesses: Accesses, said: Said) -> None:
    said.away = True
    with pytest.raises(PassingFault):
        await accesses.record(FIRST, "stored", caller=ALICE, instances=3, purpose=Purpose(Action.EXPORT))
