"""How a work item follows its job: our performers keep the same contract as everybody else's."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final, assert_never

from services.dicom.dicom_json import DicomJson
from services.worklist.model import Job, JobState, Step
from services.worklist.ups.building import SCHEME, code, dataset, first, items, moment, moment_of
from services.worklist.ups.item import StepState, WorkItem, changed
from services.worklist.ups.making import item_uid, new_item, outputs
from services.worklist.ups.states import UNSPECIFIED, canceled, claimed

_STATION: Final = code("PLEXUS", SCHEME, "Plexus mesh")
_EXPIRED: Final = code("110533", "DCM", "Workitem expired")
_RESCHEDULED: Final = code("110528", "DCM", "Discontinued Procedure Step rescheduled")
_UNUSABLE: Final = code("110521", "DCM", "Objects incorrectly formatted")
_FAILURE: Final = code("110501", "DCM", "Equipment failure")
_BY_REASON: Final = {"deadline-passed": _EXPIRED, "superseded": _RESCHEDULED, "cancelled": UNSPECIFIED}
_OF_THE_INPUT: Final = (Step.DEIDENTIFY, Step.QUARANTINE, Step.ASSEMBLE)
_OF_AN_ATTEMPT: Final = (
    *("00741000", "00741002", "00741216", "00080016", "00080018", "00404010"),  # what only the old one has
)


def follow(item: WorkItem, job: Job, at: datetime, *, transaction_uid: str, dicomweb: str) -> Sequence[WorkItem]:
    """The work item after its job changed: each step of it, in order; none where it stays as it is.

    Args:
        transaction_uid: the mesh's own, for one that it takes now.
        dicomweb: where results are read.
    """
    if item.state.final:
        return ()
    match job.state:
        case JobState.WAITING | JobState.CLAIMED:
            return _rescheduled(item, job, at)
        case JobState.REQUESTED | JobState.RELEASED | JobState.INFERRED:
            return _in_progress(item, job, at, transaction_uid)
        case JobState.COMPLETED:
            steps = list(_in_progress(item, job, at, transaction_uid))
            last = steps[-1] if steps else item
            steps.append(changed(last, at, _performed(last, job, at, dicomweb), StepState.COMPLETED))
            return steps
        case JobState.FAILED | JobState.CANCELLED:
            return canceled(item, [_reason(job)], job.reason, at)
        case _:
            assert_never(job.state)


def succeed(item: WorkItem, job: Job, at: datetime) -> WorkItem:
    """The work item of a job that is tried again: the old one has ended, for good (PS3.4 CC.1.1)."""
    given = {tag: element for tag, element in item.attributes.items() if tag not in _OF_AN_ATTEMPT}
    replaced = dataset(ReferencedSOPClassUID=first(item.attributes, "SOPClassUID"), ReferencedSOPInstanceUID=item.uid)
    given |= dataset(
        ProcedureStepState=StepState.SCHEDULED.value,
        ReplacedProcedureStepSequence=[replaced],
        ScheduledProcedureStepPriority=job.priority.value,
    )
    return new_item(item_uid(job), given, at, job_id=job.id)


def percent(job: Job) -> float:
    """How far a job is, roughly: its steps count alike."""
    steps = list(Step)
    if job.state is JobState.COMPLETED:
        return 100.0
    place = steps.index(Step(job.step)) if job.step in set(Step) else 0
    within = min(job.done / job.total, 1.0) if job.total else 0.0
    return round(100 * (place + within) / len(steps), 1)


def _rescheduled(item: WorkItem, job: Job, at: datetime) -> Sequence[WorkItem]:
    wanted = dataset(ScheduledProcedureStepPriority=job.priority.value)
    start = moment_of(
        first(item.attributes, "ScheduledProcedureStepStartDateTime"), first(item.attributes, "TimezoneOffsetFromUTC")
    )
    due = job.not_before or (at if start and start > at else start)
    if due and due != start:
        wanted |= dataset(ScheduledProcedureStepStartDateTime=moment(due))
    return () if wanted.items() <= item.attributes.items() else (changed(item, at, wanted),)


def _in_progress(item: WorkItem, job: Job, at: datetime, transaction_uid: str) -> Sequence[WorkItem]:
    progress = dataset(
        ProcedureStepProgressInformationSequence=[
            dataset(
                ProcedureStepProgress=f"{percent(job):g}",
                ProcedureStepProgressDescription=f"{job.step} {job.done}/{job.total}" if job.total else job.step,
            )
        ]
    )
    steps = []
    if item.state is StepState.SCHEDULED:
        item = claimed(item, transaction_uid, at)
        steps.append(item)
    if not progress.items() <= item.attributes.items():
        steps.append(changed(item, at, progress))
    return steps


def _performed(item: WorkItem, job: Job, at: datetime, dicomweb: str) -> DicomJson:
    performed = dataset(
        PerformedStationNameCodeSequence=[_STATION],
        PerformedProcedureStepStartDateTime=moment(job.admitted_at or job.requested_at),
        PerformedProcedureStepEndDateTime=moment(job.finished_at or at),
        PerformedProcedureStepDescription=f"{job.model} {job.model_version}"[:64],
        PerformedWorkitemCodeSequence=items(item.attributes, "ScheduledWorkitemCodeSequence")
        or [code(job.model, SCHEME, job.model)],
        OutputInformationSequence=outputs(job.results, dicomweb),
    )
    if job.left_out:
        said = "; ".join(f"without {one.kind}: {one.reason}" for one in job.left_out)
        performed |= dataset(CommentsOnThePerformedProcedureStep=said[:1024])
    return dataset(UnifiedProcedureStepPerformedProcedureSequence=[performed])


def _reason(job: Job) -> DicomJson:
    if job.reason_code in _BY_REASON:
        return _BY_REASON[job.reason_code]
    return _UNUSABLE if job.step in _OF_THE_INPUT else _FAILURE
