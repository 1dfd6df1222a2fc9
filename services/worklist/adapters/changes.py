"""Changed jobs, as PostgreSQL announces them (LISTEN), to everybody in this process who watches.

An announcement is an id; the job is read once for all watchers. A watcher that is slow finds the newest state of each
changed job, not every state, so what waits for it is no more than the jobs that are in motion.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from services.chassis.faults import PassingFault
from services.chassis.log import Log
from services.worklist.adapters.postgres import PostgresJobs
from services.worklist.adapters.rows import CHANNEL
from services.worklist.model import CHANGES_IN_FLIGHT, Job, JobQuery

_RECONNECT_SECONDS = 0.5
_CHECK_SECONDS = 5.0
_CAUGHT_UP = 1000


class JobChanges:
    """The jobs as they change, in whichever process."""

    def __init__(self, database_url: str, jobs: PostgresJobs, log: Log, *, quiet_seconds: float) -> None:
        self._url = database_url
        self._jobs = jobs
        self._log = log
        self._quiet = quiet_seconds
        self._watchers: set[_Watcher] = set()
        self._announced: dict[str, None] = {}
        self._woken = asyncio.Event()
        self._last: int | None = None
        self._ended = False

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[Sequence[Job]]]:
        """Batches of changed jobs from now on; an empty batch where there was nothing for a while."""
        watcher = _Watcher()
        if self._ended:
            watcher.end()
        self._watchers.add(watcher)
        try:
            yield watcher.batches(self._quiet)
        finally:
            self._watchers.discard(watcher)

    async def listen(self, stopping: asyncio.Event) -> None:
        """Hear announcements until `stopping`; then every watcher's batches end."""
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(self._listen())
            await stopping.wait()
            listening.cancel()
        self._ended = True
        for watcher in self._watchers:
            watcher.end()

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (OSError, TimeoutError, PassingFault, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                self._log.warning("changes.waiting", error=type(error).__name__)
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _listen_once(self) -> None:
        connection = await asyncpg.connect(self._url, timeout=5)
        try:
            await connection.add_listener(CHANNEL, self._on_announcement)
            connection.add_termination_listener(lambda _: self._woken.set())
            if self._last is None:
                self._last = await self._jobs.last_change()
            else:  # nothing was heard while the connection was away
                query = JobQuery(since=max(self._last - CHANGES_IN_FLIGHT, 0), limit=_CAUGHT_UP)
                self._publish(sorted(await self._jobs.find(query), key=lambda job: job.change))
            while not connection.is_closed():
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CHECK_SECONDS):
                        await self._woken.wait()
                if not self._woken.is_set():
                    await connection.execute("SELECT 1")  # a server that is gone without a word says nothing
                self._woken.clear()
                announced, self._announced = self._announced, {}
                if announced:
                    self._publish(await self._jobs.of_ids(list(announced)))
            raise ConnectionError
        finally:
            connection.terminate()  # it has nothing to finish

    def _on_announcement(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        self._announced[str(payload)] = None
        self._woken.set()

    def _publish(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            self._last = max(self._last or 0, job.change)
            for watcher in self._watchers:
                watcher.add(job)


class _Watcher:
    """What waits for one who watches."""

    def __init__(self) -> None:
        self._waiting: dict[str, Job] = {}
        self._woken = asyncio.Event()
        self._ended = False

    def add(self, job: Job) -> None:
        self._waiting[job.id] = job
        self._woken.set()

    def end(self) -> None:
        self._ended = True
        self._woken.set()

    async def batches(self, quiet_seconds: float) -> AsyncIterator[Sequence[Job]]:
        while not self._ended:
            with suppress(TimeoutError):
                async with asyncio.timeout(quiet_seconds):
                    await self._woken.wait()
            self._woken.clear()
            waiting, self._waiting = self._waiting, {}
            yield sorted(waiting.values(), key=lambda job: job.change)
