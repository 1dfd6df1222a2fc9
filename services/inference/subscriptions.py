"""What this service hears."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from services.chassis.faults import Fault
from services.chassis.hearing import Delivery, Subscription
from services.contracts import subjects, work
from services.contracts.events import JobReleased, ShadowRequested, UnreadableEventError
from services.inference.errors import EventUnreadable

Handle = Callable[[JobReleased], Awaitable[None]]
Fail = Callable[[JobReleased, Fault], Awaitable[None]]
HandleShadow = Callable[[ShadowRequested], Awaitable[None]]
FailShadow = Callable[[ShadowRequested, Fault], Awaitable[None]]

JOBS = "inference-job-released"
"""The consumer of jobs: while one of its messages is unfinished, no candidate runs."""
_TRIES_OF_A_SHADOW = 6
"""Half a minute: a candidate whose process dies each time is not worth more."""


def subscriptions(handle: Handle, fail: Fail, *, concurrency: int) -> tuple[Subscription, ...]:
    """`job.released`, to `handle`; what cannot be handled, to `fail`."""

    async def on_released(delivery: Delivery) -> None:
        await handle(_read(delivery))

    async def on_failed(delivery: Delivery, fault: Fault) -> None:
        if not isinstance(fault, EventUnreadable):  # of which job it tells, nobody knows: the dead letter is all
            await fail(_read(delivery), fault)

    return (
        Subscription(
            subject=subjects.JOB_RELEASED,
            consumer=JOBS,
            stream=subjects.COMPUTE.name,
            handle=on_released,
            failed=on_failed,
            concurrency=concurrency,
        ),
    )


def shadows(handle: HandleShadow, fail: FailShadow) -> Subscription:
    """`shadow.requested`, to `handle`, one at a time; what cannot be handled, to `fail`."""

    async def on_requested(delivery: Delivery) -> None:
        await handle(_read_shadow(delivery))

    async def on_failed(delivery: Delivery, fault: Fault) -> None:
        if not isinstance(fault, EventUnreadable):
            await fail(_read_shadow(delivery), fault)

    return Subscription(
        subject=subjects.SHADOW_REQUESTED,
        consumer="inference-shadow-requested",
        stream=subjects.COMPUTE.name,
        handle=on_requested,
        failed=on_failed,
        tries=_TRIES_OF_A_SHADOW,
    )


def _read_shadow(delivery: Delivery) -> ShadowRequested:
    try:
        event = ShadowRequested.from_bytes(delivery.data)
    except UnreadableEventError:
        raise EventUnreadable("shadow.requested") from None
    if not work.is_job_id(event.job_id):
        raise EventUnreadable("shadow.requested")
    return event


def _read(delivery: Delivery) -> JobReleased:
    """The event; its names must not lead out of the job's own folder."""
    try:
        event = JobReleased.from_bytes(delivery.data)
    except UnreadableEventError:
        raise EventUnreadable from None
    if not work.is_job_id(event.job_id) or event.input != work.manifest_key(event.job_id):
        raise EventUnreadable
    return event
