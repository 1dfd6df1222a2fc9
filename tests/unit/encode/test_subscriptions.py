from __future__ import annotations

from typing import Any

import pytest

from services.chassis.faults import Fault
from services.chassis.hearing import Delivery
from services.contracts.events import JobInferred
from services.encode.errors import EventUnreadable, ResultMissing
from services.encode.subscriptions import subscriptions
from tests.unit.encode.made import inferred


def _delivery(data: bytes) -> Delivery:
    return Delivery("plexus.job.inferred", data, "id", 1)


class Heard:
    def __init__(self) -> None:
        self.handled: list[JobInferred] = []
        self.failed: list[tuple[JobInferred, Fault]] = []
        (self.subscription,) = subscriptions(self._handle, self._fail, concurrency=1)

    async def _handle(self, event: JobInferred) -> None:
        self.handled.append(event)

    async def _fail(self, event: JobInferred, fault: Fault) -> None:
        self.failed.append((event, fault))


async def test_an_inferred_job_is_handled() -> None:
    heard, event = Heard(), inferred(b"")
    await heard.subscription.handle(_delivery(event.to_bytes()))
    assert heard.handled == [event]


@pytest.mark.parametrize(
    "changed",
    [
        {"result": "jobs/other/result.npz"},
        {"result": "../secrets/encode.key"},
        {"job_id": "../x", "result": "jobs/../x/result.npz"},
        {"job_id": "", "result": "jobs//result.npz"},
    ],
)
async def test_a_name_that_leads_out_of_the_folder_of_the_job_is_refused(changed: dict[str, Any]) -> None:
    heard = Heard()
    with pytest.raises(EventUnreadable):
        await heard.subscription.handle(_delivery(inferred(b"", **changed).to_bytes()))
    assert heard.handled == []


async def test_what_is_no_event_is_refused_and_fails_no_job() -> None:
    heard = Heard()
    with pytest.raises(EventUnreadable):
        await heard.subscription.handle(_delivery(b"\xff\xff"))
    assert heard.subscription.failed is not None
    await heard.subscription.failed(_delivery(b"\xff\xff"), EventUnreadable())
    assert heard.failed == []


async def test_a_job_that_is_given_up_is_told() -> None:
    heard, event, fault = Heard(), inferred(b""), ResultMissing()
    assert heard.subscription.failed is not None
    await heard.subscription.failed(_delivery(event.to_bytes()), fault)
    assert heard.failed == [(event, fault)]
