"""What this service hears."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from services.anonymise.errors import UnreadableRequestError
from services.chassis.faults import Fault
from services.chassis.hearing import Delivery, Subscription
from services.contracts import subjects, work
from services.contracts.events import JobCancelled, JobRequested, UnreadableEventError

Handle = Callable[[JobRequested], Awaitable[None]]
Fail = Callable[[JobRequested, Fault], Awaitable[None]]
Withdraw = Callable[[JobCancelled], Awaitable[None]]


def subscriptions(handle: Handle, fail: Fail, withdraw: Withdraw, *, concurrency: int) -> Sequence[Subscription]:
    """`job.requested`, to `handle`, and what cannot be handled, to `fail`; `job.cancelled`, to `withdraw`."""

    async def on_requested(delivery: Delivery) -> None:
        await handle(_read(delivery))

    async def on_failed(delivery: Delivery, fault: Fault) -> None:
        if not isinstance(fault, UnreadableRequestError):  # of which job it tells, nobody knows
            await fail(_read(delivery), fault)

    async def on_cancelled(delivery: Delivery) -> None:
        try:
            cancelled = JobCancelled.from_bytes(delivery.data)
        except UnreadableEventError:
            raise UnreadableRequestError from None
        if not work.is_job_id(cancelled.job_id):
            raise UnreadableRequestError
        await withdraw(cancelled)

    return (
        Subscription(
            subject=subjects.JOB_REQUESTED,
            consumer="anonymise-job-requested",
            stream=subjects.HOSPITAL.name,
            handle=on_requested,
            failed=on_failed,
            concurrency=concurrency,
        ),
        Subscription(
            subject=subjects.JOB_CANCELLED,
            consumer="anonymise-job-cancelled",
            stream=subjects.HOSPITAL.name,
            handle=on_cancelled,
            tries=None,  # a database that is away comes back
        ),
    )


def _read(delivery: Delivery) -> JobRequested:
    try:
        requested = JobRequested.from_bytes(delivery.data)
    except UnreadableEventError:
        raise UnreadableRequestError from None
    if not work.is_job_id(requested.job_id):  # it becomes a folder's name
        raise UnreadableRequestError
    return requested
