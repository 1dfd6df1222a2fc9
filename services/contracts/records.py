"""The audit records that every service makes alike: of its own life, and of who came to its door."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from uuid import uuid4

from services.contracts.events import Action, AuditRecorded, Outcome


def life(service: str, *, started: bool, settings: Iterable[str] = ()) -> AuditRecorded:
    """A process of a service has started or stopped (PS3.15 A.5.3.1, Application Activity).

    Args:
        settings: `NAME=digest` of each setting that is not its default; `audit` compares them, and keeps the names of
            those that have changed.
    """
    return AuditRecorded(
        record_id=uuid4().hex,
        at=_now(),
        service=service,
        action=Action.START if started else Action.STOP,
        outcome=Outcome.SUCCESS,
        caller=f"service:{service}",
        proved_by="service",
        settings=tuple(settings),
    )


def door(
    service: str, *, caller: str, institution: str, proved_by: str, source: str, detail: str, refused: str = ""
) -> AuditRecorded:
    """Somebody was let in (PS3.15 A.5.3.12, User Authentication), or was not (A.5.3.11, Security Alert).

    Args:
        detail: a fixed word for the door, or for what was asked there.
        refused: why not.
    """
    return AuditRecorded(
        record_id=uuid4().hex,
        at=_now(),
        service=service,
        action=Action.ASSOCIATE if refused else Action.LOGIN,
        outcome=Outcome.REFUSED if refused else Outcome.SUCCESS,
        reason_code=refused,
        caller=caller,
        institution=institution,
        proved_by=proved_by,
        source=source,
        detail=detail,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
