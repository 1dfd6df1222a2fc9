"""Instances that were to go to another system, and did not: told to the audit log, a study at a time."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Final, Protocol

from services.bridge.exchanging import Recipient, Request
from services.chassis import telemetry
from services.chassis.faults import PassingFault
from services.chassis.log import Log
from services.contracts import records
from services.contracts.events import Action, AuditRecorded, Outcome

_MOST_STUDIES: Final = 100


class Events(Protocol):
    """Where facts are said."""

    async def say(self, event: AuditRecorded, *, message_id: str | None = None) -> None:
        """Say one durably; raises PassingFault."""


class Failures:
    """`Transfers` in the audit log. What did go is recorded by the archive, before its first byte."""

    def __init__(self, events: Events | None, *, log: Log) -> None:
        """Say them through `events`; without a bus, nothing is said."""
        self._events = events
        self._log = log

    async def failed(self, request: Request, to: Recipient, studies: Mapping[str, int], reason: str) -> None:
        """See `Transfers.failed`."""
        if self._events is None:
            return
        try:
            for study, instances in islice(studies.items(), _MOST_STUDIES):
                record = _record(request, to, study, instances, reason)
                await self._events.say(record, message_id=record.record_id)
        except PassingFault as fault:
            self._log.warning("transfer.failure_not_recorded", code=fault.code)


def _record(request: Request, to: Recipient, study: str, instances: int, reason: str) -> AuditRecorded:
    return records.of(
        "bridge",
        Action.TRANSFER_OUT,
        Outcome.FAILURE,
        request.peer.principal(),
        reason_code=reason,
        study_instance_uid=study,
        instances=instances,
        trace_id=telemetry.trace_id(),
        detail="instance",
        destination=to.name,
        destination_address=to.host,
    )
