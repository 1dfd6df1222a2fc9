"""What ingest knows: what a carrier announced, what became of an instance, when a series has settled anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Self
from uuid import UUID, uuid4

from services.chassis.principal import Principal
from services.contracts.events import Action, AuditRecorded, Event, InstancesDeleted, InstancesStored, SeriesSettled
from services.contracts.events import Outcome as AuditOutcome
from services.dicom.part10 import ParsedInstance, Reason
from services.store.history import Change, ChangeKind, ErasedSeries
from services.store.model import Entry, Written, series_digest

OUT_OF_RESOURCES = 0xA700
PROCESSING_FAILURE = 0x0110
DUPLICATE = 0x0111
COERCED = 0xB000
"""PS3.18 Tables I.2-1 and I.2-2, PS3.4 Table B.2-1, PS3.7 C.5.6."""


class Outcome(StrEnum):
    """What became of an instance."""

    STORED = "stored"
    UNCHANGED = "unchanged"
    KEPT_FIRST = "kept-first"
    REPLACED = "replaced"
    REFUSED = "refused"
    UNAVAILABLE = "unavailable"


_OUTCOME = {
    Written.STORED: Outcome.STORED,
    Written.UNCHANGED: Outcome.UNCHANGED,
    Written.KEPT_FIRST: Outcome.KEPT_FIRST,
    Written.REPLACED: Outcome.REPLACED,
    Written.REFUSED: Outcome.REFUSED,
}


_SAID = {
    Written.KEPT_FIRST: (
        COERCED,
        "kept-first",
        "Another object with this SOP Instance UID is stored and stays.",
    ),
    Written.REFUSED: (DUPLICATE, "duplicate", "Another object with this SOP Instance UID is stored already."),
}


@dataclass(frozen=True, slots=True)
class Announced:
    """What the carrier said of an instance; "" was not said. A mismatch is refused."""

    sop_class_uid: str = ""
    sop_instance_uid: str = ""
    study_instance_uid: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the sender is told of one instance.

    Attributes:
        status: Failure Reason or Warning Reason of PS3.18, status of PS3.7: 0 when stored.
        code: stable, for programs; "" when stored.
        reason: one sentence without PHI.
    """

    outcome: Outcome
    status: int = 0
    code: str = ""
    reason: str = ""
    study_instance_uid: str = ""
    series_instance_uid: str = ""
    sop_instance_uid: str = ""
    sop_class_uid: str = ""

    @property
    def kept(self) -> bool:
        """Whether an instance of this UID is served now."""
        return self.outcome not in (Outcome.REFUSED, Outcome.UNAVAILABLE)

    @classmethod
    def written(cls, written: Written, entry: Entry) -> Self:
        """The verdict on an instance that the index took."""
        status, code, reason = _SAID.get(written, (0, "", ""))
        return cls(
            outcome=_OUTCOME[written],
            status=status,
            code=code,
            reason=reason,
            study_instance_uid=entry.study_instance_uid,
            series_instance_uid=entry.series_instance_uid,
            sop_instance_uid=entry.sop_instance_uid,
            sop_class_uid=entry.sop_class_uid,
        )

    @classmethod
    def refused(cls, reason: Reason, announced: Announced, parsed: ParsedInstance | None = None) -> Self:
        """The verdict on an instance that is at fault."""
        return cls(
            outcome=Outcome.REFUSED,
            status=reason.failure_reason,
            code=reason.value,
            reason=reason.text,
            sop_instance_uid=parsed.sop_instance_uid if parsed else announced.sop_instance_uid,
            sop_class_uid=parsed.sop_class_uid if parsed else announced.sop_class_uid,
        )

    @classmethod
    def unavailable(cls, code: str, reason: str, announced: Announced) -> Self:
        """The verdict where we are at fault: the same may pass later."""
        return cls(
            outcome=Outcome.UNAVAILABLE,
            status=OUT_OF_RESOURCES,
            code=code,
            reason=reason,
            sop_instance_uid=announced.sop_instance_uid,
            sop_class_uid=announced.sop_class_uid,
        )

    @classmethod
    def failed(cls, announced: Announced) -> Self:
        """The verdict on an instance over which our own code stumbled."""
        return cls(
            outcome=Outcome.REFUSED,
            status=PROCESSING_FAILURE,
            code="internal",
            reason="The instance could not be processed.",
            sop_instance_uid=announced.sop_instance_uid,
            sop_class_uid=announced.sop_class_uid,
        )


@dataclass(frozen=True, slots=True)
class Offer:
    """An instance for the ledger: its object is durable.

    Attributes:
        delivery: what carried it.
        principal: who brought it.
        trace_id: of the request that brought it, hex.
    """

    entry: Entry
    delivery: UUID
    principal: Principal
    trace_id: str = ""


def sender_of(principal: Principal) -> str:
    """Who sent it, for those who share turns between senders: an AE title, or a client of STOW-RS; "" where everybody
    is `local`, which tells nobody apart."""
    return "" if principal.subject == Principal.local().subject else principal.subject


_TOLD = {
    Written.STORED: (AuditOutcome.SUCCESS, "", "instance"),
    Written.UNCHANGED: (AuditOutcome.SUCCESS, "", "unchanged"),
    Written.KEPT_FIRST: (AuditOutcome.REFUSED, "kept-first", "conflict"),
    Written.REPLACED: (AuditOutcome.SUCCESS, "replaced", "conflict"),
    Written.REFUSED: (AuditOutcome.REFUSED, "duplicate", "conflict"),
}


def told(written: Sequence[tuple[Offer, Written]]) -> list[tuple[str, Event]]:
    """What to say of instances in the transaction that writes them.

    What one request brought to one series is told together, as the standard has it for the log (PS3.15 A.5.3,
    Instances Transferred): the instances that are new by name, and one audit record for each kind of outcome.

    Returns:
        Trace ids and facts.
    """
    together: dict[tuple[str, str, str, Principal, Written], list[Entry]] = {}
    for offer, outcome in written:
        entry = offer.entry
        key = (entry.study_instance_uid, entry.series_instance_uid, offer.trace_id, offer.principal, outcome)
        together.setdefault(key, []).append(entry)
    facts: list[tuple[str, Event]] = []
    for (_, _, trace_id, principal, outcome), entries in together.items():
        facts += [(trace_id, fact) for fact in _told_together(entries, outcome, principal, trace_id)]
    return facts


def replaced(entry: Entry, principal: Principal, *, trace_id: str) -> list[Event]:
    """What to say where evidence takes the place of what was served."""
    return _told_together([entry], Written.REPLACED, principal, trace_id)


def _told_together(entries: Sequence[Entry], outcome: Written, principal: Principal, trace_id: str) -> list[Event]:
    """What to say of instances of one series that one request brought, with one outcome."""
    study, series = entries[0].study_instance_uid, entries[0].series_instance_uid
    audited, code, detail = _TOLD[outcome]
    record = store_record(
        principal,
        audited,
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uid=entries[0].sop_instance_uid if len(entries) == 1 else "",
        instances=len(entries),
        reason_code=code,
        trace_id=trace_id,
        detail=detail,
    )
    if outcome not in (Written.STORED, Written.REPLACED):
        return [record]
    stored = InstancesStored(
        study_instance_uid=study,
        series_instance_uid=series,
        sop_instance_uids=tuple(entry.sop_instance_uid for entry in entries),
        sop_class_uids=tuple(entry.sop_class_uid for entry in entries),
        digests=tuple(entry.digest for entry in entries),
    )
    return [stored, record]


def changed(written: Sequence[tuple[Offer, Written]]) -> list[Change]:
    """What the change feed tells of instances that were written."""
    together: dict[tuple[ChangeKind, str, str], list[tuple[str, str]]] = {}
    for offer, outcome in written:
        kind = _FEED.get(outcome)
        if kind is not None:
            entry = offer.entry
            key = (kind, entry.study_instance_uid, entry.series_instance_uid)
            together.setdefault(key, []).append((entry.sop_instance_uid, entry.digest))
    return [Change(*key, tuple(instances)) for key, instances in together.items()]


_FEED = {Written.STORED: ChangeKind.CREATE, Written.REPLACED: ChangeKind.UPDATE}


def told_erased(erased: Sequence[ErasedSeries], principal: Principal, *, trace_id: str, detail: str) -> list[Event]:
    """What to say of instances in the transaction that erases them. `detail` is a fixed word."""
    facts: list[Event] = []
    for each in erased:
        sop_instance_uids = tuple(uid for uid, _ in each.instances)
        facts.append(InstancesDeleted(each.study_instance_uid, each.series_instance_uid, sop_instance_uids, each.whole))
        facts.append(
            store_record(
                principal,
                AuditOutcome.SUCCESS,
                action=Action.DELETE,
                trace_id=trace_id,
                detail=detail,
                study_instance_uid=each.study_instance_uid,
                series_instance_uid=each.series_instance_uid,
                sop_instance_uid=sop_instance_uids[0] if len(sop_instance_uids) == 1 else "",
                instances=len(sop_instance_uids),
            )
        )
    return facts


def store_record(
    principal: Principal,
    outcome: AuditOutcome,
    *,
    trace_id: str,
    detail: str,
    action: Action = Action.STORE,
    instances: int = 1,
    reason_code: str = "",
    study_instance_uid: str = "",
    series_instance_uid: str = "",
    sop_instance_uid: str = "",
) -> AuditRecorded:
    """The audit record of instances that were brought, or taken away. `detail` is a fixed word."""
    return AuditRecorded(
        record_id=uuid4().hex,
        at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        service="ingest",
        action=action,
        outcome=outcome,
        reason_code=reason_code,
        caller=principal.subject,
        institution=principal.institution,
        proved_by=principal.proved_by,
        source=principal.source,
        study_instance_uid=study_instance_uid,
        series_instance_uid=series_instance_uid,
        sop_instance_uid=sop_instance_uid,
        instances=instances,
        trace_id=trace_id,
        detail=detail,
    )


@dataclass(frozen=True, slots=True)
class Target:
    """What is to be deleted: a study, one of its series, or one of its instances."""

    study_instance_uid: str
    series_instance_uid: str = ""
    sop_instance_uid: str = ""

    @property
    def level(self) -> str:
        """Which of them."""
        return "instance" if self.sop_instance_uid else "series" if self.series_instance_uid else "study"


@dataclass(frozen=True, slots=True)
class Quiet:
    """A series that nothing touches any more.

    Attributes:
        revision: of the set that settled last; 0 before the first.
        digest: of that set, hex; "" before the first.
        instances: SOP Instance UID and sha256 (hex) of each instance that is stored now.
        trace: the trace context of the store that came last.
        sender: who sent it.
    """

    study_instance_uid: str
    series_instance_uid: str
    revision: int
    digest: str
    instances: tuple[tuple[str, str], ...]
    trace: Mapping[str, str]
    sender: str = ""

    def settled(self) -> SeriesSettled | None:
        """The fact to say: a new revision, or nothing when the set is the one that settled last."""
        digest = series_digest(self.instances)
        if digest == self.digest:
            return None
        return SeriesSettled(
            study_instance_uid=self.study_instance_uid,
            series_instance_uid=self.series_instance_uid,
            revision=self.revision + 1,
            digest=digest,
            instances=len(self.instances),
            sender=self.sender,
        )
