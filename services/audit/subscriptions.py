"""What the audit service hears on the bus."""

from __future__ import annotations

import re

from services.audit import handlers
from services.audit.errors import UnreadableRecordError
from services.audit.ports import Ledger
from services.chassis.bus import Delivery, Subscription
from services.contracts import subjects
from services.contracts.events import AuditRecorded, UnreadableEventError

_RECORD_ID = re.compile(r"[0-9A-Za-z._-]{1,64}")


def subscription(*, ledger: Ledger, at_once: int) -> Subscription:
    """The one durable consumer: many messages in hand, so that many records share a transaction."""

    async def on_recorded(delivery: Delivery) -> None:
        try:
            recorded = AuditRecorded.from_bytes(delivery.data)
        except UnreadableEventError as error:
            raise UnreadableRecordError from error
        if not _RECORD_ID.fullmatch(recorded.record_id):
            raise UnreadableRecordError
        await handlers.record(recorded, ledger=ledger)

    return Subscription(
        subject=subjects.AUDIT_RECORDED,
        consumer="audit-recorded",
        stream=subjects.AUDIT.name,
        handle=on_recorded,
        concurrency=at_once,
        tries=None,  # a record is never given up: a database that is away comes back
    )
