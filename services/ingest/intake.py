"""One delivery at an edge: instances go in as they come, a few are in flight, verdicts come out in the same order."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol
from uuid import UUID

from services.chassis.faults import PassingFault
from services.chassis.principal import Principal
from services.dicom.part10 import Reason
from services.ingest.model import Announced, Verdict
from services.ingest.ports import Deliveries, Objects
from services.store.drafts import Draft

_GATHER_SECONDS = 0.05
"""How long an instance waits for others at most."""


class Arrival:
    """An instance while its bytes come in.

    Attributes:
        verdict: set when it is lost already; the rest of its bytes is let pass.
    """

    def __init__(self, draft: Draft, announced: Announced, *, max_bytes: int) -> None:
        self.draft = draft
        self.announced = announced
        self.verdict: Verdict | None = None
        self._max_bytes = max_bytes

    async def write(self, data: bytes) -> None:
        """Add bytes. Never raises: what goes wrong is the verdict."""
        if self.verdict is not None:
            return
        if self.draft.size + len(data) > self._max_bytes:
            self.verdict = Verdict.refused(Reason.TOO_LARGE, self.announced)
        else:
            try:
                await self.draft.write(data)
            except PassingFault as fault:
                self.verdict = Verdict.unavailable(fault.code, fault.reason, self.announced)
        if self.verdict is not None:
            await self.draft.discard()


class Store(Protocol):
    """The use case `handlers.store`, with its ports in place."""

    def __call__(self, arrival: Arrival, *, delivery: UUID, principal: Principal) -> Awaitable[Verdict]:
        """Store an instance that has come in whole."""


class Intake:
    """The instances of one delivery, in order.

    The edge calls `begin` for each, writes its bytes, calls `offer`, and `close` at the end; `verdicts` gives what
    became of them. `offer` waits while too many are in flight, so a fast sender is slowed down and memory stays flat.

    Where the sender waits for all of them, some are gathered before any is stored: what begins together is forced to
    the disk together and committed together, and that is what a store costs.
    """

    def __init__(
        self, store: Callable[[Arrival], Awaitable[Verdict]], *, objects: Objects, max_bytes: int, in_flight: int
    ) -> None:
        self._store = store
        self._objects = objects
        self._max_bytes = max_bytes
        self._free = asyncio.Semaphore(in_flight)
        self._at_once = max(in_flight // 2, 1)  # the other half comes in meanwhile
        self._gathered: list[Arrival] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: asyncio.Queue[asyncio.Task[Verdict] | None] = asyncio.Queue()
        self._running: set[asyncio.Task[Verdict]] = set()

    def begin(self, announced: Announced) -> Arrival:
        """A place for the next instance."""
        return Arrival(self._objects.draft(), announced, max_bytes=self._max_bytes)

    def spool(self) -> Draft:
        """A place for bytes of which instances will be made."""
        return self._objects.draft(hashed=False)

    async def offer(self, arrival: Arrival, *, more: bool = False) -> None:
        """Begin to store an instance that has come in whole; it may wait for others a moment if `more` will come."""
        if self._free.locked():
            self._begin_gathered()
        await self._free.acquire()
        self._gathered.append(arrival)
        if not more or len(self._gathered) >= self._at_once or arrival.draft.large:
            self._begin_gathered()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GATHER_SECONDS, self._begin_gathered)

    def close(self) -> None:
        """Nothing more will come."""
        self._begin_gathered()
        self._tasks.put_nowait(None)

    def _begin_gathered(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        gathered, self._gathered = self._gathered, []
        for arrival in gathered:
            task = asyncio.create_task(self._one(arrival))
            self._running.add(task)
            task.add_done_callback(self._running.discard)
            self._tasks.put_nowait(task)

    async def verdicts(self) -> AsyncIterator[Verdict]:
        """What became of each, in the order in which they were offered, until `close`."""
        while (task := await self._tasks.get()) is not None:
            # Shielded: a sender that goes away does not stop what is half done.
            yield await asyncio.shield(task)

    async def drain(self) -> None:
        """Wait for what is in flight."""
        self._begin_gathered()
        if self._running:
            await asyncio.wait(self._running)

    async def _one(self, arrival: Arrival) -> Verdict:
        try:
            return await self._store(arrival)
        finally:
            self._free.release()


class Front:
    """Where the edges meet the use case: both are the same door."""

    def __init__(
        self, store: Store, *, objects: Objects, deliveries: Deliveries, max_bytes: int, in_flight: int
    ) -> None:
        self._store = store
        self._objects = objects
        self._deliveries = deliveries
        self._max_bytes = max_bytes
        self._in_flight = in_flight

    @asynccontextmanager
    async def delivery(self, principal: Principal) -> AsyncIterator[Intake]:
        """A delivery, open while the body runs; what came in whole is stored before it is closed."""
        async with self._deliveries.opened() as delivery:

            def store(arrival: Arrival) -> Awaitable[Verdict]:
                return self._store(arrival, delivery=delivery, principal=principal)

            intake = Intake(store, objects=self._objects, max_bytes=self._max_bytes, in_flight=self._in_flight)
            try:
                yield intake
            finally:
                await intake.drain()
