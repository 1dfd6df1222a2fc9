"""Settle series that have fallen quiet."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from services.chassis import telemetry
from services.chassis.faults import PassingFault
from services.chassis.log import Log
from services.contracts import telemetry as names
from services.ingest.ports import Book, Tally

_WAIT_SECONDS = 0.25
_WAIT_AFTER_FAULT_SECONDS = 1.0


async def settle_next(*, book: Book, tally: Tally, log: Log) -> bool:
    """Settle one quiet series, if there is one; the span continues the trace of the store that came last.

    Returns:
        Whether there was one.
    """
    async with book.claim() as claim:
        if claim is None:
            return False
        fact = claim.quiet.settled()
        if fact is None:
            await claim.settle(None)
            return True
        attributes = {names.REVISION: fact.revision, names.INSTANCES: fact.instances}
        with telemetry.span(names.SPAN_SETTLE, attributes, parent=telemetry.extract(claim.quiet.trace)):
            await claim.settle(fact)
            tally.settled(fact.instances)
            log.info("series.settled", revision=fact.revision, instances=fact.instances, digest=fact.digest)
        return True


async def settle_forever(stopping: asyncio.Event, *, book: Book, tally: Tally, log: Log) -> None:
    """Settle series as they fall quiet, until `stopping`. Any number of processes may do it at once."""
    while not stopping.is_set():
        wait = _WAIT_SECONDS
        try:
            while not stopping.is_set() and await settle_next(book=book, tally=tally, log=log):
                pass
        except PassingFault as fault:
            log.warning("settling.waiting", code=fault.code)
            wait = _WAIT_AFTER_FAULT_SECONDS
        with suppress(TimeoutError):
            async with asyncio.timeout(wait):
                await stopping.wait()
