"""What the audit service hears on the bus."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from services.audit.errors import UnreadableRecordError
from services.audit.handlers import recording
from services.audit.ports import Ledger
from services.chassis.bus import BatchSubscription, Delivery
from services.chassis.faults import PermanentFault
from services.contracts import subjects
from services.contracts.events import AuditRecorded, UnreadableEventError

_RECORD_ID = re.compile(r"[0-9A-Za-z._-]{1,64}")


def subscription(*, ledger: Ledger, at_once: int) -> BatchSubscription:
    """The one durable consumer: what comes together shares a transaction, and is acknowledged after its commit."""

    async def on_recorded(deliveries: Sequence[Delivery]) -> Mapping[int, PermanentFault]:
        records, faults = [], {}
        for place, delivery in enumerate(deliveries):
            try:
                records.append(_record(delivery.data))
            except UnreadableRecordError as error:
                faults[place] = error
        if records:
            await recording.record(records, ledger=ledger)
        return faults

    return BatchSubscription(
        subject=subjects.AUDIT_RECORDED,
        consumer="audit-recorded",
        stream=subjects.AUDIT.name,
        handle=on_recorded,
        most=at_once,
    )


def _record(data: bytes) -> AuditRecorded:
    try:
        recorded = AuditRecorded.from_bytes(data)
    except UnreadableEventError as error:
        raise UnreadableRecordError from error
    if not _RECORD_ID.fullmatch(recorded.record_id):
        raise UnreadableRecordError
    return recorded
