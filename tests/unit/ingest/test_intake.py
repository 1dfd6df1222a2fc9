"""One delivery: order, how much is in flight, and what happens when it breaks off."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.chassis.principal import Principal
from services.ingest.intake import Arrival, Front
from services.ingest.model import Announced, Outcome, Verdict
from services.store.memory import MemoryObjects
from tests.unit.ingest.fakes import FakeDeliveries


class SlowStore:
    """A use case that takes as long as an instance's content says, and counts how many it has in hand."""

    def __init__(self) -> None:
        self.in_hand = self.most_in_hand = self.done = 0

    async def __call__(self, arrival: Arrival, *, delivery: UUID, principal: Principal) -> Verdict:
        self.in_hand += 1
        self.most_in_hand = max(self.most_in_hand, self.in_hand)
        arrival.draft.seal()
        await asyncio.sleep(int(bytes(arrival.draft.content)) / 1000)
        self.in_hand -= 1
        self.done += 1
        return Verdict(Outcome.STORED, sop_instance_uid=arrival.announced.sop_instance_uid)


def front(store: SlowStore, deliveries: FakeDeliveries, *, in_flight: int = 3) -> Front:
    return Front(store, objects=MemoryObjects(), deliveries=deliveries, max_bytes=100, in_flight=in_flight)


@given(st.lists(st.integers(0, 20), max_size=12), st.integers(1, 5))
def test_verdicts_come_in_the_order_of_the_instances_and_few_are_in_flight(waits: list[int], in_flight: int) -> None:
    async def deliver() -> list[str]:
        async with front(store, FakeDeliveries(), in_flight=in_flight).delivery(Principal.local()) as intake:

            async def send() -> None:
                for number, wait in enumerate(waits):
                    arrival = intake.begin(Announced(sop_instance_uid=str(number)))
                    await arrival.write(str(wait).encode())
                    await intake.offer(arrival)
                intake.close()

            sending = asyncio.create_task(send())
            verdicts = [verdict.sop_instance_uid async for verdict in intake.verdicts()]
            await sending
            return verdicts

    store = SlowStore()

    assert asyncio.run(deliver()) == [str(number) for number in range(len(waits))]
    assert store.most_in_hand <= in_flight


async def test_a_delivery_is_open_until_the_last_instance_is_done_also_when_the_sender_goes_away() -> None:
    store, deliveries = SlowStore(), FakeDeliveries()

    with pytest.raises(ConnectionResetError):
        async with front(store, deliveries).delivery(Principal.local()) as intake:
            arrival = intake.begin(Announced())
            await arrival.write(b"30")
            await intake.offer(arrival)
            assert deliveries.open
            raise ConnectionResetError

    assert store.done == 1
    assert len(deliveries.closed) == 1 and not deliveries.open


async def test_what_comes_after_the_limit_is_let_pass() -> None:
    arrival = Arrival(MemoryObjects().draft(), Announced(), max_bytes=10)

    for _ in range(5):
        await arrival.write(b"12345678")

    assert arrival.verdict is not None
    assert arrival.verdict.code == "too-large"
    arrival.draft.seal()
    assert arrival.draft.content == b""
