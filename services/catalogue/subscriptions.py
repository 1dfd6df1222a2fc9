"""What this service hears."""

from __future__ import annotations

from services.catalogue import shadowing
from services.catalogue.errors import UnreadableFactError
from services.catalogue.ports import Journal, Runs
from services.chassis.hearing import Delivery, Subscription
from services.contracts import subjects
from services.contracts.events import FigureKind, ShadowCompared, UnreadableEventError


def subscriptions(*, runs: Runs, journal: Journal) -> tuple[Subscription, ...]:
    """`shadow.compared`."""

    async def on_compared(delivery: Delivery) -> None:
        compared = _read(delivery.data)
        if not await shadowing.hear(compared, runs=runs):
            journal.info("shadow.not_kept", model=compared.model, version=compared.candidate, job_id=compared.job_id)

    return (
        Subscription(
            subject=subjects.SHADOW_COMPARED,
            consumer="catalogue-shadow-compared",
            stream=subjects.COMPUTE.name,
            handle=on_compared,
            tries=None,  # a database that is away comes back
        ),
    )


def _read(data: bytes) -> ShadowCompared:
    try:
        compared = ShadowCompared.from_bytes(data)
    except UnreadableEventError:
        raise UnreadableFactError from None
    if any(figure.kind not in set(FigureKind) for figure in compared.figures):
        raise UnreadableFactError
    return compared
