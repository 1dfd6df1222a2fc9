"""Audit records of this service."""

from __future__ import annotations

from typing import Unpack

from services.chassis import telemetry
from services.chassis.principal import Principal
from services.contracts import records
from services.contracts.events import Action, AuditRecorded, Outcome


def record(
    action: Action,
    outcome: Outcome,
    principal: Principal,
    job_id: str = "",
    **particulars: Unpack[records.Where],
) -> AuditRecorded:
    """The audit record of something that this service did, or refused."""
    trace_id = telemetry.trace_id()
    return records.of(
        "anonymise", action, outcome, principal, job_id=job_id, trace_id=trace_id, detail="series", **particulars
    )
