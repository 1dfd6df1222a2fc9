"""What the bridge hears on the bus: the commitments that it has promised to report on, and results to send on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from services.bridge.draining import Drain
from services.bridge.errors import UnheldError
from services.bridge.sending import Dispatch, Sending
from services.chassis.faults import Fault
from services.chassis.hearing import Delivery, Subscription
from services.contracts import subjects
from services.contracts.events import CommitmentRequested, Event, JobCompleted, ResultsDue, UnreadableEventError

EventT = TypeVar("EventT", bound=Event)

_AT_ONCE: Final = 4
_TRIES: Final = 200
"""With the backoff, more than a day: a modality that is off at night hears in the morning."""
_SLOWEST_SECONDS: Final = 600.0
_SLOWEST_OF_OURS_SECONDS: Final = 30.0
_MOST_WAITING: Final = 10_000
_SENDING_TRIES: Final = 450
"""With the backoff, three days: a PACS that is away over a weekend gets its results. Then they are a dead letter."""


def subscriptions(*, report: Callable[[CommitmentRequested], Awaitable[None]]) -> list[Subscription]:
    """A durable consumer for commitments; who is away waits alone."""

    async def on_requested(delivery: Delivery) -> None:
        await report(_read(CommitmentRequested, delivery))

    return [_subscription(subjects.COMMITMENT_REQUESTED, on_requested, concurrency=_AT_ONCE, tries=_TRIES)]


def sending_subscriptions(dispatch: Dispatch, sending: Sending, drain: Drain) -> list[Subscription]:
    """A durable consumer for what jobs made, and one for each queue of results.

    A queue is worked on one job at a time, so that results arrive in the order in which they were made. All are, also
    those to which no rule leads: it may have stood elsewhere in the setting when its last results became due.
    """

    async def on_completed(delivery: Delivery) -> None:
        await dispatch.hear(_read(JobCompleted, delivery))

    async def on_due(delivery: Delivery) -> None:
        await drain.bounded(sending.send(_read(ResultsDue, delivery), delivery.message_id))

    async def on_given_up(delivery: Delivery, fault: Fault) -> None:
        try:
            due = ResultsDue.from_bytes(delivery.data)
        except UnreadableEventError:
            return  # of which results it tells, nobody knows: the dead letter is all
        await sending.give_up(due, delivery.message_id, fault)

    queues = [
        _subscription(queue, on_due, concurrency=1, tries=_SENDING_TRIES, failed=on_given_up)
        for queue in subjects.RESULT_QUEUES
    ]
    completed = _subscription(
        subjects.JOB_COMPLETED, on_completed, concurrency=1, tries=None, slowest_seconds=_SLOWEST_OF_OURS_SECONDS
    )
    return [completed, *queues]


def _read(kind: type[EventT], delivery: Delivery) -> EventT:
    try:
        return kind.from_bytes(delivery.data)
    except UnreadableEventError:
        raise UnheldError("unreadable-event", "a message is not the event that its subject promises") from None


def _subscription(
    subject: str,
    handle: Callable[[Delivery], Awaitable[None]],
    *,
    concurrency: int,
    tries: int | None,
    failed: Callable[[Delivery, Fault], Awaitable[None]] | None = None,
    slowest_seconds: float = _SLOWEST_SECONDS,
) -> Subscription:
    return Subscription(
        subject=subject,
        consumer=f"bridge-{subject.removeprefix('plexus.').replace('.', '-')}",
        stream=subjects.HOSPITAL.name,
        handle=handle,
        failed=failed,
        concurrency=concurrency,
        tries=tries,
        slowest_seconds=slowest_seconds,
        most_waiting=_MOST_WAITING,
    )
