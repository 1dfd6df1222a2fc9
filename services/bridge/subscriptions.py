"""What the bridge hears on the bus: the commitments that it has promised to report on, and results to send on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from services.bridge.errors import UnheldError
from services.chassis.bus import Delivery, Subscription
from services.contracts import subjects
from services.contracts.events import CommitmentRequested, JobCompleted, UnreadableEventError

_AT_ONCE = 4
_TRIES = 200
"""With the backoff, more than a day: a modality that is off at night hears in the morning."""
_SLOWEST_SECONDS = 600.0
_MOST_WAITING = 10_000
_SENDING_TRIES = 100
"""With the backoff, some 15 hours: then the job is a dead letter, which `plexus` replays."""


def subscriptions(
    *,
    report: Callable[[CommitmentRequested], Awaitable[None]],
    send: Callable[[JobCompleted], Awaitable[None]] | None = None,
) -> list[Subscription]:
    """A durable consumer for commitments, and one for results where somebody wants some; who is away waits alone."""

    async def on_requested(delivery: Delivery) -> None:
        try:
            event = CommitmentRequested.from_bytes(delivery.data)
        except UnreadableEventError:
            raise UnheldError("unreadable-event", "a message is not the event that its subject promises") from None
        await report(event)

    async def on_completed(delivery: Delivery) -> None:
        try:
            event = JobCompleted.from_bytes(delivery.data)
        except UnreadableEventError:
            raise UnheldError("unreadable-event", "a message is not the event that its subject promises") from None
        if send is not None:
            await send(event)

    heard = [
        Subscription(
            subject=subjects.COMMITMENT_REQUESTED,
            consumer="bridge-commitment-requested",
            stream=subjects.HOSPITAL.name,
            handle=on_requested,
            concurrency=_AT_ONCE,
            tries=_TRIES,
            slowest_seconds=_SLOWEST_SECONDS,
            most_waiting=_MOST_WAITING,
        )
    ]
    if send is not None:
        heard.append(
            Subscription(
                subject=subjects.JOB_COMPLETED,
                consumer="bridge-job-completed",
                stream=subjects.HOSPITAL.name,
                handle=on_completed,
                concurrency=_AT_ONCE,
                tries=_SENDING_TRIES,
                slowest_seconds=_SLOWEST_SECONDS,
                most_waiting=_MOST_WAITING,
            )
        )
    return heard
