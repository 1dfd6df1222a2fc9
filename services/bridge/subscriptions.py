"""What the bridge hears on the bus: the commitments that it has promised to report on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from services.bridge.errors import UnheldError
from services.chassis.bus import Delivery, Subscription
from services.contracts import subjects
from services.contracts.events import CommitmentRequested, UnreadableEventError

_AT_ONCE = 4
_TRIES = 200
"""With the backoff, more than a day: a modality that is off at night hears in the morning."""
_SLOWEST_SECONDS = 600.0
_MOST_WAITING = 10_000


def subscriptions(*, report: Callable[[CommitmentRequested], Awaitable[None]]) -> list[Subscription]:
    """A durable consumer for commitments; each peer that is away waits alone."""

    async def on_requested(delivery: Delivery) -> None:
        try:
            event = CommitmentRequested.from_bytes(delivery.data)
        except UnreadableEventError:
            raise UnheldError("unreadable-event", "a message is not the event that its subject promises") from None
        await report(event)

    return [
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
