"""Associations that are not accepted: each kind is in the audit log, however often somebody tries."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol
from uuid import uuid4

from services.bridge.model import Peer, Rejection
from services.chassis.faults import PassingFault
from services.chassis.log import Log
from services.contracts.events import Action, AuditRecorded, Outcome

_MINUTE: Final = 60.0


class Events(Protocol):
    """Where facts are said."""

    async def say(self, event: AuditRecorded, *, message_id: str | None = None) -> None:
        """Say one durably; raises PassingFault."""


class Refusals:
    """Says audit records of rejections; of one address and for one reason, no more than so many a minute.

    More would be a way to flood the log, for anybody on the network.
    """

    def __init__(
        self,
        events: Events | None,
        *,
        log: Log,
        a_minute: int = 20,
        most: int = 10_000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Say them through `events`; without a bus, they are in the log of the service only."""
        self._events = events
        self._log = log
        self._a_minute = a_minute
        self._most = most
        self._clock = clock
        self._said: dict[tuple[str, Rejection], tuple[float, int]] = {}

    async def note(self, peer: Peer, reason: Rejection) -> None:
        """An association was rejected. Never raises: the peer has its answer already."""
        if self._events is None or not self._may_say(peer.address, reason):
            return
        record = _record(peer, reason)
        try:
            await self._events.say(record, message_id=record.record_id)
        except PassingFault as fault:
            self._log.warning("association.rejection_not_recorded", code=fault.code)

    def _may_say(self, address: str, reason: Rejection) -> bool:
        now = self._clock()
        since, count = self._said.get((address, reason), (now, 0))
        if now - since > _MINUTE:
            since, count = now, 0
        if len(self._said) >= self._most:
            self._said.clear()
        self._said[address, reason] = since, count + 1
        return count < self._a_minute


def _record(peer: Peer, reason: Rejection) -> AuditRecorded:
    principal = peer.principal()
    return AuditRecorded(
        record_id=uuid4().hex,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        service="bridge",
        action=Action.ASSOCIATE,
        outcome=Outcome.REFUSED,
        reason_code=reason.value,
        caller=principal.subject,
        proved_by=principal.proved_by,
        source=principal.source,
        detail="association",
    )
