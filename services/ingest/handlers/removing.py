"""Remove objects that nothing names any more."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from services.chassis.faults import PassingFault
from services.chassis.log import Log
from services.ingest.ports import Discards

_WAIT_SECONDS = 30.0


async def remove_forever(stopping: asyncio.Event, *, discards: Discards, log: Log) -> None:
    """Remove one after another, until `stopping`. Any number of processes may do it at once."""
    while not stopping.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(_WAIT_SECONDS):
                await stopping.wait()
        try:
            while not stopping.is_set() and await discards.remove_next():
                pass
        except PassingFault as fault:
            log.warning("removing.waiting", code=fault.code)
