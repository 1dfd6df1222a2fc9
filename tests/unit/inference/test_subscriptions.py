"""Messages on `job.released`."""

from __future__ import annotations

import pytest

from services.chassis.faults import Fault, PermanentFault
from services.chassis.hearing import Delivery
from services.contracts.events import JobReleased
from services.contracts.work import manifest_key
from services.inference.errors import EventUnreadable
from services.inference.subscriptions import subscriptions

EVENT = JobReleased("job1", "toy", "1.0.0", manifest_key("job1"), 3)


def delivery(data: bytes) -> Delivery:
    return Delivery("plexus.job.released", data, "id", 1)


async def test_an_event_reaches_the_handler_and_its_fault_the_failure_hook() -> None:
    heard: list[object] = []

    async def handle(event: JobReleased) -> None:
        heard.append(event)

    async def fail(event: JobReleased, fault: Fault) -> None:
        heard.append((event, fault.code))

    (one,) = subscriptions(handle, fail, concurrency=2)
    assert one.concurrency == 2 and one.failed is not None
    await one.handle(delivery(EVENT.to_bytes()))
    await one.failed(delivery(EVENT.to_bytes()), PermanentFault("why", "because"))
    assert heard == [EVENT, (EVENT, "why")]


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xff\xff",
        JobReleased("../job2", "toy", "1", manifest_key("../job2"), 3).to_bytes(),
        JobReleased("job1", "toy", "1", "jobs/job2/input/manifest.json", 3).to_bytes(),
        JobReleased("", "toy", "1", manifest_key(""), 3).to_bytes(),
    ],
)
async def test_what_is_no_event_or_leads_out_of_its_folder_is_permanent_and_fails_no_job(data: bytes) -> None:
    async def never(*_: object) -> None:
        raise AssertionError

    (one,) = subscriptions(never, never, concurrency=1)
    assert one.failed is not None
    with pytest.raises(EventUnreadable):
        await one.handle(delivery(data))
    await one.failed(delivery(data), EventUnreadable())
