"""What the audit service hears on the bus."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from services.audit.errors import UnreadableRecordError
from services.audit.handlers import recording
from services.audit.ports import Ledger
from services.chassis.faults import Fault, PermanentFault
from services.chassis.hearing import BatchSubscription, Delivery
from services.contracts import subjects
from services.contracts.events import AuditRecorded, UnreadableEventError

_RECORD_ID = re.compile(r"[0-9A-Za-z._-]{1,64}")


def subscription(*, ledger: Ledger, at_once: int) -> BatchSubscription:
    """The one durable consumer: what comes together shares a transaction, and is acknowledged after its commit."""

    async def on_recorded(deliveries: Sequence[Delivery]) -> Mapping[int, PermanentFault]:
        records: dict[int, AuditRecorded] = {}
        faults: dict[int, PermanentFault] = {}
        for place, delivery in enumerate(deliveries):
            try:
                records[place] = _record(delivery.data)
            except UnreadableRecordError as error:
                faults[place] = error
        try:
            if records:
                await recording.record(list(records.values()), ledger=ledger)
        except Fault:
            raise
        except Exception:  # noqa: BLE001  # nobody foresaw it: which record is it? The others must not wait for that one
            faults |= await _one_by_one(records, ledger)
        return faults

    return BatchSubscription(
        subject=subjects.AUDIT_RECORDED,
        consumer="audit-recorded",
        stream=subjects.AUDIT.name,
        handle=on_recorded,
        most=at_once,
    )


async def _one_by_one(records: Mapping[int, AuditRecorded], ledger: Ledger) -> dict[int, PermanentFault]:
    """Keep records each by itself; gives those that cannot be kept."""
    faults: dict[int, PermanentFault] = {}
    for place, record in records.items():
        try:
            await recording.record([record], ledger=ledger)
        except Fault:
            raise
        except Exception:  # noqa: BLE001  # as above: it goes to the dead letters, for a person
            faults[place] = UnreadableRecordError()
    return faults


def _record(data: bytes) -> AuditRecorded:
    try:
        recorded = AuditRecorded.from_bytes(data)
    except UnreadableEventError as error:
        raise UnreadableRecordError from error
    if not _RECORD_ID.fullmatch(recorded.record_id):
        raise UnreadableRecordError
    return recorded
