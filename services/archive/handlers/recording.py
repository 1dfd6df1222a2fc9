"""The audit record of an access, said before its answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from services.archive.errors import NotFound
from services.archive.model import Resource, access
from services.archive.ports import Events
from services.chassis import telemetry
from services.chassis.faults import Fault
from services.chassis.principal import Principal
from services.contracts.events import Action, Outcome


@dataclass(slots=True)
class Tally:
    """How many instances an access touched; the audit record says it."""

    instances: int = 0


@asynccontextmanager
async def recorded(
    action: Action, resource: Resource | None, detail: str, *, events: Events, caller: Principal
) -> AsyncIterator[Tally]:
    """Say the audit record of what happens inside, also when it fails."""
    tally, outcome = Tally(), Outcome.SUCCESS
    fault: Fault | None = None
    try:
        yield tally
    except Fault as raised:
        fault, outcome = raised, Outcome.REFUSED if isinstance(raised, NotFound) else Outcome.FAILURE
    record = access(
        action,
        caller,
        resource,
        trace_id=telemetry.trace_id(),
        detail=detail,
        instances=tally.instances,
        outcome=outcome,
        reason_code=fault.code if fault else "",
    )
    await events.say(record, message_id=record.record_id)
    if fault is not None:
        raise fault
