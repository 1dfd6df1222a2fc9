"""Progress, gathered: however often a step tells how far it is, the jobs change a few times a second.

Every process of the worklist hears all progress; the first to keep it changes the job, for the others nothing changes.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from services.chassis.faults import PassingFault
from services.contracts.events import JobProgressed
from services.worklist import handlers
from services.worklist.ports import Jobs, Journal

_EVERY_SECONDS = 0.2


class Progress:
    """The newest word on each job's step that has not been kept yet."""

    def __init__(self, *, jobs: Jobs, journal: Journal) -> None:
        self._jobs = jobs
        self._journal = journal
        self._newest: dict[str, JobProgressed] = {}
        self._woken = asyncio.Event()

    def note(self, fact: JobProgressed) -> None:
        """Remember how far a job is, in place of what was known."""
        self._newest[fact.job_id] = fact
        self._woken.set()

    async def keep(self, stopping: asyncio.Event) -> None:
        """Keep what is noted, until `stopping`. What cannot be kept now is lost, as progress may be."""
        while not stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._woken.wait()
            self._woken.clear()
            newest, self._newest = self._newest, {}
            for fact in newest.values():
                with suppress(PassingFault):
                    await handlers.hear(fact, jobs=self._jobs, journal=self._journal)
            if newest:
                await asyncio.sleep(_EVERY_SECONDS)
