"""The one use case: carry what an association brings into the archive, and tell the sender what became of it."""

from __future__ import annotations

import time
from dataclasses import dataclass

from opentelemetry import context
from opentelemetry.trace import SpanKind

from services.bridge.errors import AbandonedError, UndeliveredError
from services.bridge.model import PROCESSING_FAILURE, SUCCESS, Answer, Outcome, Reply
from services.bridge.ports import Archive, Association, Delivery, Tally, Transfer
from services.chassis import telemetry
from services.chassis.log import Log
from services.contracts import telemetry as names


@dataclass(slots=True)
class _Sum:
    instances: int = 0
    stored: int = 0


async def receive(association: Association, *, archive: Archive, tally: Tally, log: Log) -> None:
    """Carry one association to its end. One association is one delivery, unless the archive breaks it off.

    The delivery opens with the first instance (a C-ECHO needs none) and ends with the association, however that ends.
    """
    tally.opened()
    total = _Sum()
    try:
        with telemetry.span(names.SPAN_ASSOCIATION, kind=SpanKind.SERVER, parent=context.Context()) as span:
            log.info("association.opened", caller=association.peer.calling_ae_title, source=association.peer.address)
            transfer = await association.next()
            while transfer is not None:
                transfer = await _deliver(transfer, association, total, archive=archive, tally=tally, log=log)
            span.set_attributes({names.OUTCOME: association.ending, names.INSTANCES: total.instances})
            log.info(
                "association.closed",
                caller=association.peer.calling_ae_title,
                outcome=association.ending,
                instances=total.instances,
                stored=total.stored,
            )
    finally:
        tally.closed()


async def _deliver(
    transfer: Transfer | None, association: Association, total: _Sum, *, archive: Archive, tally: Tally, log: Log
) -> Transfer | None:
    """One delivery, from `transfer` on. Gives back the instance that needs a new one, or `None` at the end."""
    # The spans of the instances stand beside the call that carries them, not under it.
    parent = context.get_current()
    in_hand = transfer
    try:
        async with archive.deliver(association.peer.principal()) as delivery:
            while transfer is not None and not delivery.broken:
                in_hand = transfer
                await _store(transfer, delivery, total, parent=parent, tally=tally)
                in_hand = None
                transfer = await association.next()
            return transfer
    except (UndeliveredError, AbandonedError) as fault:
        log.warning("delivery.broken", code=fault.code)
        reply = Reply(Outcome.UNAVAILABLE, reason_code=fault.code, reason=fault.reason)
        answer = Answer.of(reply)
    except Exception as error:  # noqa: BLE001  # whatever it is, the sender must hear that nothing is stored
        log.error("delivery.failed", error)
        answer = Answer(PROCESSING_FAILURE, "internal")
    if in_hand is not None:
        in_hand.answer(answer)
    return await association.next()


async def _store(transfer: Transfer, delivery: Delivery, total: _Sum, *, parent: context.Context, tally: Tally) -> None:
    outcome, started = Outcome.UNAVAILABLE, time.perf_counter()
    total.instances += 1
    try:
        with telemetry.span(names.SPAN_C_STORE, kind=SpanKind.SERVER, parent=parent) as span:
            try:
                reply = await delivery.store(transfer)
                outcome = reply.outcome
                if reply.reason_code:
                    span.set_attribute(names.REASON_CODE, reply.reason_code)
            except AbandonedError:
                outcome = Outcome.ABANDONED
                raise
            finally:
                span.set_attributes({names.OUTCOME: outcome, names.BYTES: transfer.size})
        answer = Answer.of(reply)
        total.stored += answer.status == SUCCESS
        transfer.answer(answer)
    finally:
        tally.instance(outcome, transfer.size, time.perf_counter() - started)
