"""Jobs that somebody has cancelled: what is in hand stops, what comes later is not begun.

A job is stopped by a word in the work store, which stays, and by `job.stopped`, which every process overhears: the job
may be in hand in any of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from services.contracts.events import JobReleased, JobStopped, UnreadableEventError
from services.contracts.work import is_job_id, stopped_key


class Stopping:
    """The jobs in hand in this process."""

    def __init__(self, has: Callable[[str], Awaitable[bool]]) -> None:
        """Know them; `has`: whether there is something under a key of the work store."""
        self._has = has
        self._in_hand: dict[str, tuple[int, asyncio.Task[None]]] = {}
        self._stopped: set[asyncio.Task[None]] = set()

    async def run(self, event: JobReleased, work: Callable[[JobReleased], Awaitable[None]]) -> bool:
        """Do the work of a job; False if it was stopped before its end."""
        if await self._has(stopped_key(event.job_id, event.attempt)):
            return False
        task = asyncio.ensure_future(_whole(work, event))
        self._in_hand[event.job_id] = (event.attempt, task)
        try:
            await task
        except asyncio.CancelledError:
            if task not in self._stopped:  # the process ends
                raise
            return False
        finally:
            self._stopped.discard(task)
            if self._in_hand.get(event.job_id, (0, None))[1] is task:
                del self._in_hand[event.job_id]
        return True

    async def hear(self, data: bytes) -> None:
        """A job is stopped, perhaps one in hand."""
        try:
            stopped = JobStopped.from_bytes(data)
        except UnreadableEventError:
            return
        if not is_job_id(stopped.job_id):
            return
        attempt, task = self._in_hand.get(stopped.job_id, (0, None))
        if task is not None and attempt <= stopped.attempt:
            self._stopped.add(task)
            task.cancel()


async def _whole(work: Callable[[JobReleased], Awaitable[None]], event: JobReleased) -> None:
    await work(event)
