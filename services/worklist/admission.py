"""Lets waiting jobs in as others go on, and gives up those whose deadline has passed; in every process alike."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from services.chassis.faults import PassingFault
from services.worklist import handlers
from services.worklist.ports import Jobs, Journal
from services.worklist.turns import Rules

_LOOK_EVERY_SECONDS = 1.0


class Admission:
    """Lets jobs in, in whichever process; `wake` it when one came or ended."""

    def __init__(self, *, rules: Rules, journal: Journal, clock: Callable[[], datetime] = lambda: datetime.now(UTC)):
        self._rules = rules
        self._journal = journal
        self._clock = clock
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look now; without it, it looks once a second: deadlines pass by themselves."""
        self._woken.set()

    async def keep(self, jobs: Jobs, stopping: asyncio.Event) -> None:
        """Let in, and give up what is too late, until `stopping`."""
        while not stopping.is_set():
            self._woken.clear()
            with suppress(PassingFault):  # a database that is away comes back
                await handlers.expire(self._clock(), jobs=jobs, journal=self._journal)
                await handlers.admit(self._clock(), rules=self._rules, jobs=jobs)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_EVERY_SECONDS):
                    await self._woken.wait()
