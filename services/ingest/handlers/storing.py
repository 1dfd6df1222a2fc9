"""Store an instance."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from uuid import UUID

from services.chassis import telemetry
from services.chassis.faults import PassingFault
from services.chassis.log import Log
from services.chassis.principal import Principal
from services.contracts import telemetry as names
from services.contracts.events import Outcome as AuditOutcome
from services.dicom.part10 import (
    InstanceError,
    ParsedInstance,
    check_expected,
    claimed,
    is_short,
    parse_instance,
)
from services.ingest.intake import Arrival
from services.ingest.model import Announced, Offer, Outcome, Verdict, store_record
from services.ingest.ports import Ledger, Objects, Tally
from services.store.drafts import Draft
from services.store.model import Entry


async def store(
    arrival: Arrival,
    *,
    delivery: UUID,
    principal: Principal,
    objects: Objects,
    ledger: Ledger,
    tally: Tally,
    log: Log,
) -> Verdict:
    """Check one instance and make it durable: the object first, then index, events and audit in one transaction.

    Idempotent: the same bytes again change nothing. Never raises for what is wrong with the instance, or with us: the
    verdict says it, and the next instance of the delivery is not touched by it.
    """
    started = time.perf_counter()
    async with arrival.draft as draft:
        with telemetry.span(names.SPAN_STORE, {names.DELIVERY_ID: str(delivery), names.BYTES: draft.size}) as span:
            try:
                verdict = await _stored(arrival, delivery, principal, objects=objects, ledger=ledger)
            except PassingFault as fault:
                log.warning("instance.not_stored", code=fault.code, delivery=str(delivery))
                verdict = Verdict.unavailable(fault.code, fault.reason, arrival.announced)
            except Exception as error:  # noqa: BLE001  # a stumble over one instance must not end its delivery
                log.error("instance.failed", error, delivery=str(delivery))
                verdict = Verdict.failed(arrival.announced)
            span.set_attribute(names.OUTCOME, verdict.outcome.value)
            if verdict.code:
                span.set_attribute(names.REASON_CODE, verdict.code)
            tally.instance(verdict.outcome, draft.size, time.perf_counter() - started)
            return verdict


async def _stored(
    arrival: Arrival, delivery: UUID, principal: Principal, *, objects: Objects, ledger: Ledger
) -> Verdict:
    draft, verdict = arrival.draft, arrival.verdict
    if verdict is None:
        if draft.large:
            await asyncio.to_thread(draft.seal)
        else:
            draft.seal()
        # A thread would have to share the interpreter with us: it pays only where there is much to read.
        if isinstance(draft.content, bytes) and is_short(draft.content):
            parsed, verdict = _examine(draft, arrival.announced)
        else:
            parsed, verdict = await asyncio.to_thread(_examine, draft, arrival.announced)
        if parsed is not None and verdict is None:
            entry = Entry.of(parsed, digest=await objects.keep(draft), size=draft.size)
            written = await ledger.record(Offer(entry, delivery, principal, telemetry.trace_id()))
            return Verdict.written(written, entry)
    assert verdict is not None  # noqa: S101  # `_examine` gives one or the other
    if verdict.outcome is Outcome.REFUSED:
        await ledger.say(
            store_record(
                principal,
                AuditOutcome.REFUSED,
                trace_id=telemetry.trace_id(),
                detail="instance",
                reason_code=verdict.code,
            )
        )
    return verdict


def _examine(draft: Draft, announced: Announced) -> tuple[ParsedInstance | None, Verdict | None]:
    """Read a sealed draft to its end."""
    parsed = None
    try:
        parsed = parse_instance(memoryview(draft.content))
        check_expected(
            parsed,
            sop_class_uid=announced.sop_class_uid,
            sop_instance_uid=announced.sop_instance_uid,
            study_instance_uid=announced.study_instance_uid,
        )
    except InstanceError as error:
        if parsed is None and not announced.sop_instance_uid:
            sop_class_uid, sop_instance_uid = claimed(memoryview(draft.content))
            announced = replace(announced, sop_class_uid=sop_class_uid, sop_instance_uid=sop_instance_uid)
        return None, Verdict.refused(error.reason, announced, parsed)
    return parsed, None
