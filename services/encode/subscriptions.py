"""What this service hears."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from services.chassis.faults import Fault
from services.chassis.hearing import Delivery, Subscription
from services.contracts import subjects, work
from services.contracts.events import JobInferred, UnreadableEventError
from services.encode.errors import EventUnreadable

Handle = Callable[[JobInferred], Awaitable[None]]
Fail = Callable[[JobInferred, Fault], Awaitable[None]]


def subscriptions(handle: Handle, fail: Fail, *, concurrency: int) -> Sequence[Subscription]:
    """`job.inferred`, to `handle`; what cannot be handled, to `fail`."""

    async def on_inferred(delivery: Delivery) -> None:
        await handle(_read(delivery))

    async def on_failed(delivery: Delivery, fault: Fault) -> None:
        if not isinstance(fault, EventUnreadable):  # of which job it tells, nobody knows: the dead letter is all
            await fail(_read(delivery), fault)

    return (
        Subscription(
            subject=subjects.JOB_INFERRED,
            consumer="encode-job-inferred",
            stream=subjects.COMPUTE.name,
            handle=on_inferred,
            failed=on_failed,
            concurrency=concurrency,
        ),
    )


def _read(delivery: Delivery) -> JobInferred:
    """The event. It comes from the compute zone: its names must not lead out of the job's own folder."""
    try:
        event = JobInferred.from_bytes(delivery.data)
    except UnreadableEventError:
        raise EventUnreadable from None
    if not work.is_job_id(event.job_id) or event.result != work.result_key(event.job_id):
        raise EventUnreadable
    return event
