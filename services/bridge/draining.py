"""The end of a process: what is in hand goes on for a while, and is then broken off, to come again elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from services.bridge.errors import UnreachableError


class Drain:
    """Lets work go on for some seconds after `stopping`."""

    def __init__(self, stopping: asyncio.Event, *, seconds: float) -> None:
        self._stopping = stopping
        self._seconds = seconds

    async def bounded(self, work: Coroutine[Any, Any, None]) -> None:
        """Do it, unless the process has to end before it is done.

        Raises:
            UnreachableError: it was broken off.
        """
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait({task}, timeout=self._seconds)
        finally:
            stop.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if task.cancelled():
            raise UnreachableError("stopping", "the service is stopping: the results are sent by the next one")
        await task
