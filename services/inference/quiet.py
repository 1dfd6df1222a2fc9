"""Work for when nobody waits: it begins while no job is unfinished, and makes room as soon as one comes.

A run that makes room is begun anew later, from its start. What it has in Triton may end there, but nobody waits for it,
and its memory is free.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from services.inference.errors import ShadowDeferred

_LOOK_SECONDS = 1.0
"""How often work that waits looks whether it may begin."""
_WATCH_SECONDS = 0.2
"""How often work that runs looks whether it must make room."""
MadeT = TypeVar("MadeT")


class Quiet:
    """Times in which no job is unfinished."""

    def __init__(
        self,
        busy: Callable[[], Awaitable[bool]],
        stopping: asyncio.Event,
        *,
        look_seconds: float = _LOOK_SECONDS,
        watch_seconds: float = _WATCH_SECONDS,
    ) -> None:
        """Know them.

        Args:
            busy: whether a job is unfinished, in whichever process.
            stopping: set when this process is to end.
        """
        self._busy = busy
        self._stopping = stopping
        self._look = look_seconds
        self._watch = watch_seconds

    async def run(self, work: Callable[[], Coroutine[Any, Any, MadeT]]) -> MadeT:
        """What `work` gives, once a quiet time was long enough for it.

        Raises:
            ShadowDeferred: this process ends.
        """
        while True:
            while await self._disturbed():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stopping.wait(), self._look)
            task = asyncio.create_task(work())
            try:
                while not task.done():
                    await asyncio.wait({task}, timeout=self._watch)
                    if not task.done() and await self._disturbed():
                        task.cancel()
            finally:
                if not task.done():
                    task.cancel()
                    await asyncio.wait({task})
            if not task.cancelled():
                return task.result()

    async def _disturbed(self) -> bool:
        if self._stopping.is_set():
            raise ShadowDeferred
        return await self._busy()
