"""What is heard, and what is no request of ours."""

import pytest

from services.anonymise.errors import UnreadableRequestError
from services.anonymise.subscriptions import subscriptions
from services.chassis.faults import Fault, PermanentFault
from services.chassis.hearing import Delivery
from services.contracts.events import JobCancelled, JobRequested

REQUESTED = JobRequested("job-1", "1.2.3", "1.2.4", 1, "d1", "ct-lung", "1.0.0")


class Heard:
    def __init__(self) -> None:
        self.handled: list[JobRequested] = []
        self.failed: list[tuple[JobRequested, Fault]] = []
        self.withdrawn: list[JobCancelled] = []
        self.subscription, self.cancelled = subscriptions(self.handle, self.fail, self.withdraw, concurrency=1)

    async def handle(self, requested: JobRequested) -> None:
        self.handled.append(requested)

    async def withdraw(self, cancelled: JobCancelled) -> None:
        self.withdrawn.append(cancelled)

    async def fail(self, requested: JobRequested, fault: Fault) -> None:
        self.failed.append((requested, fault))


def delivery(data: bytes) -> Delivery:
    return Delivery("plexus.job.requested", data, "id", 1)


async def test_a_request_is_handled_and_its_fault_told() -> None:
    heard = Heard()
    await heard.subscription.handle(delivery(REQUESTED.to_bytes()))
    assert heard.handled == [REQUESTED]
    fault = PermanentFault("burned-in-annotation", "text in the pixels")
    assert heard.subscription.failed is not None
    await heard.subscription.failed(delivery(REQUESTED.to_bytes()), fault)
    assert heard.failed == [(REQUESTED, fault)]


@pytest.mark.parametrize("job_id", ["", "../job", "a/b", ".", "x" * 65])
async def test_a_job_id_that_leads_out_of_its_folder_is_unreadable(job_id: str) -> None:
    heard = Heard()
    data = JobRequested(job_id, "1.2.3", "1.2.4", 1, "d1", "ct-lung", "1.0.0").to_bytes()
    with pytest.raises(UnreadableRequestError) as unreadable:
        await heard.subscription.handle(delivery(data))
    assert heard.subscription.failed is not None
    await heard.subscription.failed(delivery(data), unreadable.value)
    assert not heard.handled and not heard.failed


async def test_a_cancelled_job_is_withdrawn() -> None:
    heard = Heard()
    await heard.cancelled.handle(Delivery("plexus.job.cancelled", JobCancelled("job-1").to_bytes(), "id", 1))
    assert heard.withdrawn == [JobCancelled("job-1")]
    with pytest.raises(UnreadableRequestError):
        await heard.cancelled.handle(Delivery("plexus.job.cancelled", b"\xff\xff\xff", "id", 1))


async def test_what_is_no_event_is_unreadable() -> None:
    with pytest.raises(UnreadableRequestError):
        await Heard().subscription.handle(delivery(b"\xff\xff\xff"))
