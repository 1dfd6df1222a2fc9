"""Audit records of this service."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import uuid4

from services.chassis import telemetry
from services.chassis.principal import Principal
from services.contracts.events import Action, AuditRecorded, Outcome


def record(
    action: Action,
    outcome: Outcome,
    principal: Principal,
    job_id: str = "",
    *,
    study_instance_uid: str = "",
    series_instance_uid: str = "",
    instances: int = 0,
    reason_code: str = "",
) -> AuditRecorded:
    """The audit record of something that this service did, or refused."""
    return AuditRecorded(
        record_id=uuid4().hex,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        service="anonymise",
        action=action,
        outcome=outcome,
        reason_code=reason_code,
        caller=principal.subject,
        institution=principal.institution,
        proved_by=principal.proved_by,
        source=principal.source,
        study_instance_uid=study_instance_uid,
        series_instance_uid=series_instance_uid,
        job_id=job_id,
        instances=instances,
        trace_id=telemetry.trace_id(),
        detail="series",
    )
