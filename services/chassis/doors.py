"""Who was let in, and who was not: told, but not so often that telling it could be used to flood the log."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import Final

from services.chassis.faults import PassingFault
from services.chassis.life import Record, Speaker
from services.chassis.log import Log
from services.chassis.principal import Principal

_MINUTE: Final = 60.0
_HOUR: Final = 3600.0
_A_MINUTE: Final = 20


class Sparing:
    """So many times in so many seconds, for each key."""

    def __init__(
        self,
        times: int,
        seconds: float,
        *,
        most: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Allow `times` in `seconds`; no more than `most` keys are remembered."""
        self._times = times
        self._seconds = seconds
        self._most = most
        self._clock = clock
        self._counts: dict[Hashable, tuple[float, int]] = {}

    def may(self, key: Hashable) -> bool:
        """Whether it may happen once more; counts it."""
        now = self._clock()
        since, count = self._counts.get(key, (now, 0))
        if now - since > self._seconds:
            since, count = now, 0
        if len(self._counts) >= self._most:
            self._counts.clear()
        self._counts[key] = since, count + 1
        return count < self._times

    def forget(self, key: Hashable) -> None:
        """Count from nothing."""
        self._counts.pop(key, None)


class Doors:
    """Records of who came to a service: of each caller at one address the first time in an hour, and of each refusal.

    Of one address, no more than 20 a minute of either, whatever callers claim to be.
    """

    def __init__(
        self,
        events: Speaker | None,
        record: Callable[..., Record],
        *,
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Say what `record` makes through `events`; without a bus, nothing is said."""
        self._events = events
        self._record = record
        self._log = log
        self._known = Sparing(1, _HOUR, clock=clock)
        self._new = Sparing(_A_MINUTE, _MINUTE, clock=clock)
        self._refused = Sparing(_A_MINUTE, _MINUTE, clock=clock)

    async def entered(self, caller: Principal, detail: str) -> None:
        """A caller was let in. Never raises: what the caller then does has records of its own."""
        if self._known.may(caller) and not (self._new.may(caller.source) and await self._say(caller, detail)):
            self._known.forget(caller)  # later, then

    async def refused(self, caller: Principal, detail: str, reason: str) -> None:
        """A caller was not let in. Never raises: the caller has an answer."""
        if self._refused.may((caller.source, detail, reason)):
            await self._say(caller, detail, refused=reason)

    async def _say(self, caller: Principal, detail: str, *, refused: str = "") -> bool:
        if self._events is None:
            return True
        record = self._record(
            caller=caller.subject,
            institution=caller.institution,
            proved_by=caller.proved_by,
            source=caller.source,
            detail=detail,
            refused=refused,
        )
        try:
            await self._events.say(record, message_id=record.record_id)
        except PassingFault as fault:
            self._log.warning("door.not_recorded", code=fault.code)
            return False
        return True
