"""Candidates that run beside completed jobs: asked for one after another, while no job waits or is in work.

Which one runs beside a job stands in the job from its beginning; whether that is still wanted is asked when its turn
comes. It is no job: it has no state, no work item and no result, and what comes of it is the catalogue's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime

from services.chassis.faults import PassingFault
from services.contracts.events import ShadowRequested
from services.worklist.model import Job
from services.worklist.ports import Catalogue, Decision, Jobs

_LOOK_EVERY_SECONDS = 1.0


async def admit(at: datetime, *, jobs: Jobs, catalogue: Catalogue) -> Job | None:
    """Ask for the shadow of the job that has waited longest, if this is a quiet time."""
    if not await jobs.shadow_waits():
        return None
    candidates = await catalogue.candidates()
    wanted = {(candidate.card.name, candidate.card.version, candidate.shadow) for candidate in candidates}

    def decide(job: Job) -> Decision:
        if (job.model, job.model_version, job.shadow) not in wanted:
            return Decision((replace(job, shadow=""),))
        requested = ShadowRequested(job.id, job.model, job.model_version, job.shadow)
        return Decision((replace(job, shadowed_at=at),), ((requested, f"{job.id}.shadow.{job.shadow}.requested"),))

    return await jobs.decide_on_shadow(decide)


async def keep(
    stopping: asyncio.Event,
    *,
    jobs: Jobs,
    catalogue: Catalogue,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> None:
    """Ask for them until `stopping`. Apart from the admission of jobs: a catalogue that is away holds up none."""
    while not stopping.is_set():
        with suppress(PassingFault):
            await admit(clock(), jobs=jobs, catalogue=catalogue)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_EVERY_SECONDS):
                await stopping.wait()
