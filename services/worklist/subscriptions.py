"""What the worklist hears on the bus."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, tzinfo
from typing import TypeVar

from services.chassis.hearing import Delivery, Subscription
from services.contracts import subjects
from services.contracts.events import (
    Event,
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobInferred,
    JobProgressed,
    JobReleased,
    SeriesSettled,
    UnreadableEventError,
)
from services.worklist import handlers
from services.worklist.errors import UnreadableFactError
from services.worklist.model import JobFact
from services.worklist.ports import Catalogue, Jobs, Journal, SeriesArchive
from services.worklist.progress import Progress

EventT = TypeVar("EventT", bound=Event)

_SERIES_AT_ONCE = 4
_FACTS: tuple[tuple[subjects.Stream, type[JobFact]], ...] = (
    (subjects.COMPUTE, JobReleased),
    (subjects.COMPUTE, JobInferred),
    (subjects.COMPUTE, JobFailed),
    (subjects.HOSPITAL, JobCompleted),
    (subjects.HOSPITAL, JobCancelled),
)


def subscriptions(
    *,
    catalogue: Catalogue,
    archive: SeriesArchive,
    jobs: Jobs,
    journal: Journal,
    dicomweb: str,
    zone: tzinfo | None = UTC,
) -> list[Subscription]:
    """A durable consumer for each subject.

    Args:
        dicomweb: where work items say that series are read.
        zone: of the site's clock.
    """

    async def on_settled(delivery: Delivery) -> None:
        settled = _read(SeriesSettled, delivery.data)
        await handlers.select(
            settled,
            candidates=await catalogue.candidates(),
            archive=archive,
            jobs=jobs,
            journal=journal,
            dicomweb=dicomweb,
            zone=zone,
        )

    def on_fact(kind: type[JobFact]) -> Callable[[Delivery], Awaitable[None]]:
        async def handle(delivery: Delivery) -> None:
            await handlers.hear(_read(kind, delivery.data), jobs=jobs, journal=journal)

        return handle

    settled = Subscription(
        subject=subjects.SERIES_SETTLED,
        consumer="worklist-series-settled",
        stream=subjects.HOSPITAL.name,
        handle=on_settled,
        concurrency=_SERIES_AT_ONCE,
        tries=None,  # an archive or a database that is away comes back: a settled series is not forgotten
    )
    facts = [
        Subscription(
            subject=kind.subject,
            consumer=kind.subject.replace("plexus.", "worklist-", 1).replace(".", "-"),
            stream=stream.name,
            handle=on_fact(kind),
            tries=None,
        )
        for stream, kind in _FACTS
    ]
    return [settled, *facts]


def hear_progress(progress: Progress) -> Callable[[bytes], Awaitable[None]]:
    """A listener for `job.progressed`: anybody may speak there, and what is no progress is passed over."""

    async def hear(data: bytes) -> None:
        try:
            progress.note(JobProgressed.from_bytes(data))
        except UnreadableEventError:
            return

    return hear


def _read(kind: type[EventT], data: bytes) -> EventT:
    try:
        return kind.from_bytes(data)
    except UnreadableEventError as error:
        raise UnreadableFactError from error
