"""Record, answer, verify. A record is kept before its message is acknowledged, and a reading before its answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from services.audit import model
from services.audit.model import Break, Entry, Flaw, Head, LogQuery
from services.audit.ports import Ledger
from services.chassis import telemetry
from services.chassis.faults import PassingFault
from services.chassis.principal import Principal
from services.contracts.events import Action, AuditRecorded, Outcome


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification found.

    Attributes:
        records: how many were walked and hold.
        head: hash of the last of them.
        broken: the first at which the chain does not hold.
        guarded: whether the database refuses to change records.
    """

    records: int
    head: bytes
    broken: Break | None
    guarded: bool


async def record(recorded: AuditRecorded, *, ledger: Ledger) -> None:
    """A service has recorded an access: keep it, once."""
    await ledger.append(recorded.record_id, model.canonical(recorded))


async def read(query: LogQuery, *, principal: Principal, ledger: Ledger) -> Sequence[Entry]:
    """The records that are asked for, newest first. That they were asked for is in the log before they are given."""
    entries = await ledger.find(query)
    await _record_reading(
        principal,
        ledger,
        detail="records",
        study_instance_uid=query.study_instance_uid,
        series_instance_uid=query.series_instance_uid,
        job_id=query.job_id,
        instances=len(entries),
    )
    return entries


async def verify(*, principal: Principal, ledger: Ledger) -> Verdict:
    """Walk the whole chain."""
    head, broken = Head(), None
    async with ledger.walk() as walk:
        async for entries in walk.batches():
            found = model.check(head, entries)
            if isinstance(found, Break):
                broken = found
                break
            head = found
        else:
            if head != walk.head:
                broken = Break(min(head.seq, walk.head.seq) + 1, Flaw.HEAD)
        guarded = walk.guarded
    try:
        await _record_reading(principal, ledger, detail="verify")
    except PassingFault:
        if broken is None:
            raise
        # A log that is broken may not take this record either: what was found has to be told all the same.
    return Verdict(head.seq, head.hash, broken, guarded)


async def _record_reading(
    principal: Principal,
    ledger: Ledger,
    *,
    detail: str,
    study_instance_uid: str = "",
    series_instance_uid: str = "",
    job_id: str = "",
    instances: int = 0,
) -> None:
    reading = AuditRecorded(
        record_id=uuid4().hex,
        at=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        service="audit",
        action=Action.AUDIT_READ,
        outcome=Outcome.SUCCESS,
        caller=principal.subject,
        institution=principal.institution,
        proved_by=principal.proved_by,
        source=principal.source,
        study_instance_uid=study_instance_uid,
        series_instance_uid=series_instance_uid,
        job_id=job_id,
        instances=instances,
        trace_id=telemetry.trace_id(),
        detail=detail,
    )
    await record(reading, ledger=ledger)
