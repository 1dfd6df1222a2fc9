"""What is told of work items, as PostgreSQL announces it (LISTEN), to those who are connected to this process.

Nothing is told twice and nothing is kept for who is not connected (PS3.4 CC.2.4.3): who comes back asks how things
stand. Behind a connection that was lost for a moment, what was told meanwhile is told now.
"""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg

from services.chassis.log import Log
from services.dicom.dicom_json import DicomJson
from services.worklist.adapters.items import EVENTS
from services.worklist.ups.reports import server_status

_RECONNECT_SECONDS = 0.5
_CHECK_SECONDS = 5.0
_AT_A_TIME = 500
_PATIENCE_SECONDS = 0.1
_MOST_WAITING = 10_000
"""Of one listener: one that does not read is let go, as if its line were cut."""


class ItemNotifications:
    """What is told, in whichever process it came about."""

    def __init__(self, database_url: str, log: Log) -> None:
        self._url = database_url
        self._log = log
        self._listeners: defaultdict[str, set[asyncio.Queue[DicomJson | None]]] = defaultdict(set)
        self._announced: list[int] = []
        self._woken = asyncio.Event()
        self._last: int | None = None
        self._ended = False

    @asynccontextmanager
    async def listen(self, ae_title: str) -> AsyncIterator[AsyncIterator[DicomJson]]:
        """What `ae_title` is told from now on; ends when the process stops."""
        queue: asyncio.Queue[DicomJson | None] = asyncio.Queue(_MOST_WAITING)
        if self._ended:
            queue.put_nowait(None)
        self._listeners[ae_title].add(queue)
        try:
            yield _until_none(queue)
        finally:
            self._listeners[ae_title].discard(queue)
            if not self._listeners[ae_title]:
                del self._listeners[ae_title]

    async def keep(self, stopping: asyncio.Event) -> None:
        """Hear announcements until `stopping`; then say so to every listener, and end."""
        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(self._hear())
            await stopping.wait()
            hearing.cancel()
        self._ended = True
        for queues in self._listeners.values():
            for queue in queues:
                _offer(queue, server_status("GOING DOWN"))
                _offer(queue, None)

    async def _hear(self) -> None:
        while True:
            try:
                await self._hear_once()
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                self._log.warning("notifications.waiting", error=type(error).__name__)
                await asyncio.sleep(_RECONNECT_SECONDS)

    async def _hear_once(self) -> None:
        connection = await asyncpg.connect(self._url, timeout=5, server_settings={"search_path": "worklist"})
        try:
            await connection.add_listener(EVENTS, self._on_announcement)
            connection.add_termination_listener(lambda _: self._woken.set())
            newest = await connection.fetchval("SELECT coalesce(max(position), 0) FROM workitem_events")
            if self._last is not None:  # nothing was heard while the connection was away
                self._announced += range(self._last + 1, newest + 1)
                self._woken.set()
            self._last = max(newest, self._last or 0)
            while not connection.is_closed():
                with suppress(TimeoutError):
                    async with asyncio.timeout(_CHECK_SECONDS):
                        await self._woken.wait()
                if not self._woken.is_set():
                    await connection.execute("SELECT 1")  # a server that is gone without a word says nothing
                self._woken.clear()
                announced, self._announced = self._announced, []
                if announced:
                    await self._pass_on(connection, announced)
            raise ConnectionError
        finally:
            connection.terminate()  # it has nothing to finish

    def _on_announcement(self, _connection: Any, _pid: int, _channel: str, payload: object) -> None:
        self._announced.append(int(str(payload)))
        self._woken.set()

    async def _pass_on(self, connection: asyncpg.Connection, announced: list[int]) -> None:
        self._last = max(self._last or 0, *announced)
        for start in range(0, len(announced), _AT_A_TIME):
            await self._pass_some_on(connection, announced[start : start + _AT_A_TIME])
            # Who subscribes to a long list at once hears of all of it: it is waited for, but not for long.
            if any(queue.qsize() > _MOST_WAITING / 2 for queues in self._listeners.values() for queue in queues):
                await asyncio.sleep(_PATIENCE_SECONDS)

    async def _pass_some_on(self, connection: asyncpg.Connection, announced: list[int]) -> None:
        wanted = [ae_title for ae_title, queues in self._listeners.items() if queues]
        if not wanted:
            return
        found = await connection.fetch(
            "SELECT ae_titles, message FROM unnest($1::bigint[]) WITH ORDINALITY AS told (position, place)"
            " JOIN workitem_events USING (position) WHERE ae_titles && $2::text[] ORDER BY place",
            announced,
            wanted,
        )
        for row in found:
            message = json.loads(row["message"])
            for ae_title in row["ae_titles"]:
                for queue in self._listeners.get(ae_title, ()):
                    _offer(queue, message)


def _offer(queue: asyncio.Queue[DicomJson | None], message: DicomJson | None) -> None:
    try:
        queue.put_nowait(message)
    except asyncio.QueueFull:
        while not queue.empty():
            queue.get_nowait()
        queue.put_nowait(None)


async def _until_none(queue: asyncio.Queue[DicomJson | None]) -> AsyncIterator[DicomJson]:
    while (message := await queue.get()) is not None:
        yield message
