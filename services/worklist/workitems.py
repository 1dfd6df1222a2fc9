"""What the worklist does with work items when somebody asks by UPS-RS (PS3.18 11).

Each is one decision on the work item and its job as they are kept, in the transaction that keeps it; all are on record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from services.chassis import telemetry
from services.chassis.principal import Principal
from services.contracts import records
from services.contracts.events import Action, AuditRecorded, JobCompleted, Outcome
from services.dicom import uids
from services.dicom.attributes import tag_of
from services.dicom.dicom_json import DicomJson
from services.worklist import handlers, model, runs
from services.worklist.model import Job, JobState, Performer, Priority
from services.worklist.ports import Candidate, Facts, ItemDecision, Jobs, Journal, SeriesArchive, WorkItems
from services.worklist.ups import making, matching, refusals, reports, states
from services.worklist.ups.building import first, moment_of
from services.worklist.ups.checking import to_create
from services.worklist.ups.item import StepState, WorkItem
from services.worklist.ups.making import asked_of, new_item
from services.worklist.ups.searching import Search
from services.worklist.ups.states import Changed
from services.worklist.ups.table import FILTERED_WORKLIST, WORKLIST

_OF_A_RUN = frozenset(filter(None, map(tag_of, ("InputInformationSequence", "ScheduledWorkitemCodeSequence"))))
_START = "ScheduledProcedureStepStartDateTime"
_EXPIRATION = "ScheduledProcedureStepExpirationDateTime"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        ae_title: as which it asks: for those who are told that it wants something cancelled.
    """

    principal: Principal
    ae_title: str


async def create(
    uid: str,
    given: DicomJson,
    *,
    caller: Caller,
    items: WorkItems,
    candidates: Sequence[Candidate],
    archive: SeriesArchive,
    jobs: Jobs,
    journal: Journal,
) -> tuple[str, bool]:
    """Create a work item; its UID, and whether it differs from what came. One for a model of ours is a run of it.

    Raises:
        WorkItemRefusedError: it is not as Table CC.2.5-3 asks, or there is one of this UID.
    """
    uid = _uid_of(uid, given)
    given = {tag: element for tag, element in given.items() if tag not in ("00001000", "00080018", "00080016")}
    _, modified = to_create(given)
    at = handlers.now()
    asked = asked_of(given)
    if asked is not None and any(each.card.name == asked.model for each in candidates):
        wish = runs.Wish(
            asked.model,
            asked.study_instance_uid,
            asked.series_instance_uid,
            Priority(first(given, "ScheduledProcedureStepPriority")),
            _deadline(given),
            not_before=_start(given, at),
        )
        await runs.for_item(
            wish,
            lambda job_id: new_item(uid, given, at, job_id=job_id),
            principal=caller.principal,
            candidates=candidates,
            archive=archive,
            jobs=jobs,
            journal=journal,
            more=asked.more,
        )
    else:
        item = new_item(uid, given, at)
        await items.create(item, _record(Action.JOB, caller, "workitem-created", item))
    return uid, modified


async def retrieve(uid: str, *, caller: Caller, items: WorkItems) -> WorkItem:
    """A work item."""
    return await items.get(uid, lambda item: _record(Action.RETRIEVE, caller, "workitem", item))


async def search(search: Search, *, caller: Caller, items: WorkItems) -> tuple[list[DicomJson], bool]:
    """What is answered of the work items that match, and whether there are more."""
    found, more = await items.search(search, lambda count: _record(Action.QUERY, caller, "workitems", count=count))
    return [search.answer(item.attributes) for item in found], more


async def update(uid: str, given: DicomJson, transaction_uid: str, *, caller: Caller, items: WorkItems) -> None:
    """Set attributes. Of one that is SCHEDULED anybody may: so an operator gives another priority, or more time."""
    at = handlers.now()

    def decide(item: WorkItem, job: Job | None) -> ItemDecision:
        changed = states.update(item, given, transaction_uid, at)
        if job is not None and job.performer is Performer.MESH and not _OF_A_RUN.isdisjoint(given):
            raise refusals.invalid("the series and the model of a run cannot be changed: create another work item")
        after = _rescheduled(job, changed.steps[-1]) if job is not None else None
        return ItemDecision(changed.steps, after, facts=_record(Action.JOB, caller, "workitem-updated", item))

    await items.decide(uid, decide)


async def change_state(uid: str, state: str, transaction_uid: str, *, caller: Caller, items: WorkItems) -> str:
    """Claim, complete or cancel; text for the Warning header, or ""."""
    at = handlers.now()

    def decide(item: WorkItem, job: Job | None) -> ItemDecision:
        changed = states.change_state(item, state, transaction_uid, at)
        if item.state is StepState.SCHEDULED and job is not None and job.state is JobState.CLAIMED:
            raise refusals.in_wrong_state("C302", "another work item of the same run is IN PROGRESS already")
        if not changed.steps:
            return ItemDecision(warning=changed.warning)
        after = _led(job, changed.steps[-1], at) if job is not None else None
        detail = f"workitem-{changed.steps[-1].state.value.lower().replace(' ', '-')}"
        facts = (*_record(Action.JOB, caller, detail, item), *_done(after))
        return ItemDecision(changed.steps, after, facts=facts)

    return (await items.decide(uid, decide)).warning


async def request_cancel(uid: str, given: DicomJson, *, caller: Caller, items: WorkItems) -> str:
    """Ask that it ends. What nobody has begun, and what the mesh does, ends; others are told that somebody asks."""
    at = handlers.now()

    def decide(item: WorkItem, job: Job | None) -> ItemDecision:
        own = job is not None and job.performer is Performer.MESH
        changed: Changed = states.request_cancel(item, given, at, own=own)
        told = (reports.cancel_requested(item, caller.ae_title, given),) if changed.cancel_requested else ()
        facts = _record(Action.JOB, caller, "workitem-cancel-requested", item)
        after = None
        if changed.steps and job is not None and not job.state.ended:
            after = model.cancelled(job, "cancelled", "the job was cancelled", at)
            facts = (*handlers.cancelled_facts(job, caller.principal, "cancelled"), *facts)
        return ItemDecision(changed.steps, after, told, facts, changed.warning)

    return (await items.decide(uid, decide)).warning


async def subscribe(uid: str, ae_title: str, filter_: str, *, locked: bool, caller: Caller, items: WorkItems) -> None:
    """Tell `ae_title` of a work item, or of all, or of those that match."""
    facts = _record(Action.QUERY, caller, "workitem-events")
    if uid not in (WORKLIST, FILTERED_WORKLIST):
        await items.subscribe(uid, ae_title, facts, locked=locked)
        return
    if uid == FILTERED_WORKLIST:
        matching.parse_filter(filter_)
    await items.subscribe_all(uid, ae_title, filter_ if uid == FILTERED_WORKLIST else "", facts, locked=locked)


async def unsubscribe(uid: str, ae_title: str, *, caller: Caller, items: WorkItems) -> None:
    """Tell no more."""
    await items.unsubscribe(uid, ae_title, _record(Action.QUERY, caller, "workitem-events-ended"))


async def suspend(uid: str, ae_title: str, *, caller: Caller, items: WorkItems) -> None:
    """Tell of no new work items."""
    await items.suspend(uid, ae_title, _record(Action.QUERY, caller, "workitem-events-ended"))


async def refuse(uid: str, detail: str, code: str, *, caller: Caller, items: WorkItems) -> None:
    """Put on record that a request was refused, and why; `uid` is that of its work item, or ""."""
    ((record, message_id),) = _record(Action.JOB, caller, detail)
    assert isinstance(record, AuditRecorded)  # noqa: S101  # for the type
    refused = replace(record, outcome=Outcome.REFUSED, reason_code=code, sop_instance_uid=uid)
    await items.refuse(((refused, message_id),))


def _uid_of(uid: str, given: DicomJson) -> str:
    """The UID of a new work item: of the query or of the data set; ours where neither says one."""
    named = {each for each in (uid, _plain(given, "00001000"), _plain(given, "00080018")) if each}
    if len(named) > 1:
        raise refusals.invalid("the work item has two UIDs")
    if not all(map(uids.is_legal, named)):
        raise refusals.invalid("the UID of the work item is not legal")
    return next(iter(named), "") or uids.new_uid()


def _plain(given: DicomJson, tag: str) -> str:
    return str(next(iter(given.get(tag, {}).get("Value", [])), "") or "")


def _rescheduled(job: Job, item: WorkItem) -> Job | None:
    """The job, if its work item says another priority, start or deadline."""
    priority = Priority(first(item.attributes, "ScheduledProcedureStepPriority"))
    start, deadline = _start(item.attributes, handlers.now()), _deadline(item.attributes)
    after = replace(job, priority=priority, deadline=deadline, not_before=start)
    return None if job.state.ended or after == job else after


def _led(job: Job, item: WorkItem, at: datetime) -> Job | None:
    """The job, after somebody outside changed its work item."""
    if job.state.ended:
        return None
    match item.state:
        case StepState.IN_PROGRESS:
            return model.claimed(job, at)
        case StepState.COMPLETED if job.state is JobState.CLAIMED:
            return model.performed(job, making.results_of(item), at)
        case StepState.CANCELED:
            return model.cancelled(job, "performer-cancelled", "its performer cancelled the work item", at)
        case _:
            return None


def _start(attributes: DicomJson, at: datetime) -> datetime | None:
    """When a work item is to begin, if that is still to come."""
    start = moment_of(first(attributes, _START), first(attributes, "TimezoneOffsetFromUTC"))
    return start if start and start > at else None


def _done(job: Job | None) -> Facts:
    """What the mesh is told of a job that somebody outside has done: its results are sent on like ours."""
    if job is None or job.state is not JobState.COMPLETED:
        return ()
    return ((JobCompleted(job.id, job.results), f"{job.id}.completed"),)


def _deadline(attributes: DicomJson) -> datetime | None:
    return moment_of(first(attributes, _EXPIRATION), first(attributes, "TimezoneOffsetFromUTC"))


def _record(action: Action, caller: Caller, detail: str, item: WorkItem | None = None, *, count: int = 0) -> Facts:
    recorded = records.of(
        "worklist",
        action,
        Outcome.SUCCESS,
        caller.principal,
        study_instance_uid=first(item.attributes, "StudyInstanceUID") if item else "",
        sop_instance_uid=item.uid if item else "",
        job_id=item.job_id if item else "",
        instances=count,
        trace_id=telemetry.trace_id(),
        detail=detail,
    )
    return ((recorded, None),)
