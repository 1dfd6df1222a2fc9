"""What this service hears."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from services.chassis.bus import Delivery, Subscription
from services.chassis.faults import Fault
from services.contracts import subjects, work
from services.contracts.events import JobReleased, UnreadableEventError
from services.inference.errors import EventUnreadable

Handle = Callable[[JobReleased], Awaitable[None]]
Fail = Callable[[JobReleased, Fault], Awaitable[None]]


def subscriptions(handle: Handle, fail: Fail, *, concurrency: int) -> Sequence[Subscription]:
    """`job.released`, to `handle`; what cannot be handled, to `fail`."""

    async def on_released(delivery: Delivery) -> None:
        await handle(_read(delivery))

    async def on_failed(delivery: Delivery, fault: Fault) -> None:
        if not isinstance(fault, EventUnreadable):  # of which job it tells, nobody knows: the dead letter is all
            await fail(_read(delivery), fault)

    return (
        Subscription(
            subject=subjects.JOB_RELEASED,
            consumer="inference-job-released",
            stream=subjects.COMPUTE.name,
            handle=on_released,
            failed=on_failed,
            concurrency=concurrency,
        ),
    )


def _read(delivery: Delivery) -> JobReleased:
    """The event; its names must not lead out of the job's own folder."""
    try:
        event = JobReleased.from_bytes(delivery.data)
    except UnreadableEventError:
        raise EventUnreadable from None
    if not work.is_job_id(event.job_id) or event.input != work.manifest_key(event.job_id):
        raise EventUnreadable
    return event
