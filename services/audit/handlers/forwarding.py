"""Forward the log: in order, each receiver from where it has got to, which is kept when it has taken a batch."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from services.audit.handlers.asking import studies_in
from services.audit.ports import Cursors, Ledger, Patients, Receiver
from services.chassis.faults import Fault
from services.chassis.log import Log
from services.chassis.principal import Principal

_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0
_OURSELVES = Principal.service("audit")


async def forward(*, ledger: Ledger, cursors: Cursors, patients: Patients, receiver: Receiver, at_once: int) -> int:
    """Send a receiver the next records; gives how many there were.

    Erased records are passed over: the record that tells of the erasure is sent.

    Raises:
        PassingFault: the log, the archive or the receiver does not answer; nothing is passed over.
    """
    cursor = await cursors.cursor(receiver.name)
    entries = await ledger.following(cursor, at_once)
    if entries:
        await receiver.send(entries, await patients.patients_of(studies_in(entries), _OURSELVES))
        await cursors.advance(receiver.name, entries[-1].seq)
    return len(entries)


async def keep_forwarding(
    stopping: asyncio.Event,
    *,
    ledger: Ledger,
    cursors: Cursors,
    patients: Patients,
    receiver: Receiver,
    at_once: int,
    log: Log,
) -> None:
    """Forward until `stopping`. One process of several does; a receiver that is away is asked less and less often."""
    pause = _PAUSE_SECONDS
    while not stopping.is_set():
        try:
            async with cursors.turn(receiver.name) as mine:
                while mine and not stopping.is_set():
                    sent = await forward(
                        ledger=ledger, cursors=cursors, patients=patients, receiver=receiver, at_once=at_once
                    )
                    pause = _PAUSE_SECONDS
                    if sent < at_once:
                        await _rest(stopping, _PAUSE_SECONDS)
        except Fault as fault:
            log.warning("forwarding.waiting", receiver=receiver.name, code=fault.code, reason=fault.reason)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
        await _rest(stopping, pause)


async def _rest(stopping: asyncio.Event, seconds: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stopping.wait()
