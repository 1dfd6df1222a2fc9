"""No record, no access: unless an operator has said of a kind of access that images come first."""

from __future__ import annotations

from collections.abc import Set
from typing import Final

from services.archive.ports import Events
from services.chassis.faults import PassingFault
from services.chassis.log import Log
from services.contracts.events import Action, AuditRecorded, Event

_NEVER: Final = (Action.EXPORT, Action.TRANSFER_OUT)
"""What leaves the archive for good is recorded, or does not leave."""


class RelaxedEvents:
    """`Events` that lets some accesses pass whose records cannot be written durably now."""

    def __init__(self, events: Events, kinds: Set[str], *, log: Log) -> None:
        """Relax the kinds of access that are named as records name them (`detail`), such as `thumbnail`."""
        self._events = events
        self._kinds = kinds
        self._log = log

    async def say(self, event: Event, *, message_id: str | None = None) -> None:
        """See `Events.say`."""
        try:
            await self._events.say(event, message_id=message_id)
        except PassingFault as fault:
            if not isinstance(event, AuditRecorded) or event.action in _NEVER:
                raise
            if event.detail.removesuffix("-total") not in self._kinds:
                raise
            self._log.warning("access.not_recorded", kind=event.detail, code=fault.code)
