"""The audit record of an access, said before its answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Final

from services.archive.errors import NotAcceptable, NotDecodable, NotFound, NotRenderable, NotWritable, TooMuch
from services.archive.model import Purpose, Resource, access, total
from services.archive.ports import Events, Totals
from services.chassis import telemetry
from services.chassis.faults import Fault, PassingFault
from services.chassis.principal import Principal
from services.contracts.events import Action, AuditRecorded, Outcome

_SHOWN: Final = Purpose()
_LEFT_EVERY_SECONDS: Final = 30.0
_REFUSED: Final = (NotFound, NotAcceptable, NotDecodable, NotRenderable, NotWritable, TooMuch)


@dataclass(slots=True)
class Tally:
    """How many instances an access touched; the audit record says it."""

    instances: int = 0


@asynccontextmanager
async def recorded(
    action: Action, resource: Resource | None, detail: str, *, events: Events, caller: Principal
) -> AsyncIterator[Tally]:
    """Say the audit record of what happens inside, also when it fails: everything that may end in a refusal."""
    tally = Tally()
    fault: Fault | None = None
    try:
        yield tally
    except Fault as raised:
        fault = raised
    record = _record(action, resource, detail, caller, fault, instances=tally.instances)
    await events.say(record, message_id=record.record_id)
    if fault is not None:
        raise fault


def _record(
    action: Action, resource: Resource | None, detail: str, caller: Principal, fault: Fault | None, *, instances: int
) -> AuditRecorded:
    outcome = Outcome.SUCCESS
    if fault is not None:
        outcome = Outcome.REFUSED if isinstance(fault, _REFUSED) else Outcome.FAILURE
    return access(
        action,
        caller,
        resource,
        trace_id=telemetry.trace_id(),
        detail=detail,
        instances=instances,
        outcome=outcome,
        reason_code=fault.code if fault else "",
    )


def _read(
    purpose: Purpose, resource: Resource, detail: str, caller: Principal, fault: Fault | None, *, instances: int
) -> AuditRecorded:
    record = _record(purpose.action, resource, detail, caller, fault, instances=instances)
    return replace(record, destination=purpose.destination, destination_address=purpose.destination_address)


@dataclass(slots=True)
class _Access:
    """What a caller reads of a series, since its first record.

    Attributes:
        first: the record of the first access.
        said: done when that record is durable.
        sop_instance_uids: whose parts were read.
        instances: how many, where the whole series was.
        times: how many requests; the record of the first tells all there is of one.
    """

    first: AuditRecorded
    said: asyncio.Task[None]
    began: float
    latest: float
    sop_instance_uids: set[str] = field(default_factory=set)
    instances: int = 0
    times: int = 0
    kept: bool = False
    frames: int = 0
    size: int = 0


def _total(each: _Access) -> AuditRecorded:
    instances = max(each.instances, len(each.sop_instance_uids))
    return total(each.first, instances=instances, frames=each.frames, size=each.size)


class Accesses:
    """Accesses that come by thousands: a viewer asks for each frame of a series by itself.

    The first access of a caller to a series is recorded durably before its first byte goes out. Those that follow are
    counted, and when none has come for a while a second record tells how many instances, frames and bytes there were
    (PS3.15 A.5.3: a message tells of a study that was accessed, not of a frame). So nothing is served that no record
    names, and no record tells of a success that was none: a caller notes an access when it has the answer in its hands.
    """

    def __init__(
        self,
        *,
        events: Events,
        totals: Totals | None = None,
        idle_seconds: float = 60.0,
        longest_seconds: float = 600.0,
        most: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Say records through `events`.

        Args:
            totals: keeps what the second records will say, every second; without it, a `kill -9` loses that.
            idle_seconds: an access is over when nothing has been read for so long,
            longest_seconds: or so long after it began.
            most: so many are open at a time; the oldest makes room.
            clock: in seconds.
        """
        self._events = events
        self._totals = totals
        self._changed: dict[str, _Access] = {}
        self._looked = clock() - _LEFT_EVERY_SECONDS
        self._idle = idle_seconds
        self._longest = longest_seconds
        self._most = most
        self._clock = clock
        self._open: dict[tuple[Principal, Purpose, str, str, str], _Access] = {}
        self._over: list[_Access] = []

    async def note(
        self, resource: Resource, detail: str, *, caller: Principal, instances: int = 1, frames: int = 0, size: int = 0,
        purpose: Purpose = _SHOWN,
    ) -> None:  # fmt: skip
        """Count an access to an instance; returns when a record that names its series is durable.

        Args:
            instances: how many, where the resource is a series.

        Raises:
            PassingFault: the record could not be said: nothing may be sent.
        """
        key = (caller, purpose, resource.study_instance_uid, resource.series_instance_uid, detail)
        now = self._clock()
        found = self._open.get(key)
        if found is not None and self._is_over(found, now):
            self._over.append(self._open.pop(key))
            found = None
        if found is None:
            record = _read(purpose, resource, detail, caller, None, instances=instances)
            found = self._open[key] = self._begun(replace(record, frames=frames, bytes=size), now)
            if len(self._open) > self._most:
                self._over.append(self._open.pop(next(iter(self._open))))
        if not found.said.done():
            # Others wait for the same record: that one of them goes away must not take it from them.
            await asyncio.shield(found.said)
        found.latest = now
        found.times += 1
        if resource.sop_instance_uid:
            found.sop_instance_uids.add(resource.sop_instance_uid)
        else:
            found.instances = max(found.instances, instances)
        found.frames += frames
        found.size += size
        if found.times > 1 and self._totals is not None:
            self._changed[found.first.record_id] = found

    async def record(
        self, resource: Resource, detail: str, *, caller: Principal, instances: int, size: int = 0,
        purpose: Purpose = _SHOWN,
    ) -> None:  # fmt: skip
        """Record an access to many instances at once, which is a record of its own.

        Raises:
            PassingFault: the record could not be said: nothing may be sent.
        """
        record = _read(purpose, resource, detail, caller, None, instances=instances)
        await self._events.say(replace(record, bytes=size), message_id=record.record_id)

    async def refuse(
        self, resource: Resource, detail: str, fault: Fault, *, caller: Principal, purpose: Purpose = _SHOWN
    ) -> None:
        """Record an access that ended in a fault: each by itself."""
        record = _read(purpose, resource, detail, caller, fault, instances=0)
        await self._events.say(record, message_id=record.record_id)

    async def sum_up(self, *, everything: bool = False) -> None:
        """Say the second record of each access that is over, or of all of them at the end of the process.

        What cannot be said now is said the next time.
        """
        now = self._clock()
        for key in [key for key, each in self._open.items() if everything or self._is_over(each, now)]:
            self._over.append(self._open.pop(key))
        ended, self._over = self._over, []
        said = []
        for each in ended:
            try:
                await self._say_total(each)
            except PassingFault:
                self._over.append(each)
            else:
                self._changed.pop(each.first.record_id, None)
                said += [_total(each).record_id] if each.kept else []
        if said and self._totals is not None:
            with suppress(PassingFault):  # they are said once more by their ids, which the log has
                await self._totals.forget(said)

    async def keep(self) -> None:
        """Keep what the accesses add up to that have changed since the last time. What cannot be kept is kept later."""
        if self._changed and self._totals is not None:
            changed, self._changed = self._changed, {}
            for each in changed.values():
                each.kept = True
            try:
                await self._totals.keep(_total(each) for each in changed.values())
            except PassingFault:
                self._changed = changed | self._changed

    async def take_over(self) -> None:
        """Say the totals of processes that are gone, a while after they last kept them."""
        if self._totals is None or self._clock() - self._looked < _LEFT_EVERY_SECONDS:
            return
        self._looked = self._clock()
        with suppress(PassingFault):
            for left in await self._totals.left(2 * self._idle):
                await self._events.say(left, message_id=left.record_id)
                await self._totals.forget([left.record_id])

    async def run(self, stopping: asyncio.Event, every_seconds: float = 1.0) -> None:
        """Keep, sum up and take over, until `stopping`."""
        while not stopping.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(every_seconds):
                    await stopping.wait()
            await self.keep()
            await self.sum_up()
            await self.take_over()

    def _is_over(self, each: _Access, now: float) -> bool:
        failed = each.said.done() and each.said.exception() is not None
        return failed or now - each.latest > self._idle or now - each.began > self._longest

    def _begun(self, record: AuditRecorded, now: float) -> _Access:
        said = asyncio.create_task(self._events.say(record, message_id=record.record_id))
        said.add_done_callback(lambda done: done.cancelled() or done.exception())  # whoever waited may have gone
        return _Access(first=record, said=said, began=now, latest=now)

    async def _say_total(self, each: _Access) -> None:
        if each.times > 1:
            record = _total(each)
            await self._events.say(record, message_id=record.record_id)
