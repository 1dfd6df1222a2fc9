"""Delete studies, series and instances (a resource of our own beside PS3.18)."""

from __future__ import annotations

from services.chassis import telemetry
from services.chassis.log import Log
from services.chassis.principal import Principal
from services.contracts.events import Action, Event
from services.contracts.events import Outcome as AuditOutcome
from services.ingest.errors import DeletionOff, NothingThere
from services.ingest.model import Target, store_record
from services.ingest.ports import Custody, Ledger


async def erase(
    target: Target, *, allowed: bool, principal: Principal, custody: Custody, ledger: Ledger, log: Log
) -> int:
    """Delete what `target` names, for good: index, evidence, and, after a rest, the objects.

    Returns:
        How many instances that were.

    Raises:
        DeletionOff: it is not `allowed` here.
        NothingThere: there is no such thing.
        IndexUnavailable: nothing is deleted.
    """
    if not allowed:
        await ledger.say(_refusal(target, principal, "deletion-off"))
        raise DeletionOff
    erased = await custody.erase(target, principal, telemetry.trace_id())
    if not erased:
        await ledger.say(_refusal(target, principal, "nothing-there"))
        raise NothingThere
    instances = sum(len(each.instances) for each in erased)
    log.info("instances.deleted", level=target.level, series=len(erased), instances=instances)
    return instances


def _refusal(target: Target, principal: Principal, code: str) -> Event:
    return store_record(
        principal,
        AuditOutcome.REFUSED,
        action=Action.DELETE,
        trace_id=telemetry.trace_id(),
        detail=target.level,
        instances=0,
        reason_code=code,
        study_instance_uid=target.study_instance_uid,
        series_instance_uid=target.series_instance_uid,
        sop_instance_uid=target.sop_instance_uid,
    )
