"""How the services make their audit records: of what somebody did, of their own life, of who came to their door."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Protocol, TypedDict, Unpack
from uuid import uuid4

from services.contracts.events import Action, AuditRecorded, Outcome


class Who(Protocol):
    """Whoever did it: a `services.chassis.principal.Principal`."""

    @property
    def subject(self) -> str:
        """Who."""

    @property
    def institution(self) -> str:
        """On whose behalf."""

    @property
    def proved_by(self) -> str:
        """How we know."""

    @property
    def source(self) -> str:
        """From where."""


class Where(TypedDict, total=False):
    """What it was done with, and why it was refused; see `AuditRecorded`."""

    reason_code: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    instances: int


class Particulars(Where, total=False):
    """All that a record may hold beside who did what, and when."""

    job_id: str
    trace_id: str
    detail: str
    about: str
    destination: str
    destination_address: str


def of(
    service: str,
    action: Action,
    outcome: Outcome,
    who: Who,
    *,
    record_id: str = "",
    at: datetime | None = None,
    **particulars: Unpack[Particulars],
) -> AuditRecorded:
    """Somebody did something, or was refused it.

    Args:
        record_id: the same for what is said twice, such as a job that is delivered again; without it, a new one.
        at: when; without it, now.
    """
    return AuditRecorded(
        record_id=record_id or uuid4().hex,
        at=moment(at or datetime.now(UTC)),
        service=service,
        action=action,
        outcome=outcome,
        caller=who.subject,
        institution=who.institution,
        proved_by=who.proved_by,
        source=who.source,
        **particulars,
    )


def life(service: str, *, started: bool, settings: Iterable[str] = ()) -> AuditRecorded:
    """A process of a service has started or stopped (PS3.15 A.5.3.1, Application Activity).

    Args:
        settings: `NAME=digest` of each setting that is not its default; `audit` compares them, and keeps the names of
            those that have changed.
    """
    return AuditRecorded(
        record_id=uuid4().hex,
        at=moment(datetime.now(UTC)),
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
        at=moment(datetime.now(UTC)),
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


def moment(at: datetime) -> str:
    """A time as records hold it: to the millisecond, in UTC."""
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
