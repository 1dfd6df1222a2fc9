"""How a work item changes: the state machine of PS3.4 CC.1.1 (Table CC.1.1-2), updates, and requests to cancel.

SCHEDULED ─claim─▶ IN PROGRESS ─▶ COMPLETED
                       └─────────▶ CANCELED

Who claims gives a Transaction UID; from then on it is the key to every change.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from services.dicom import uids
from services.dicom.dicom_json import DicomJson
from services.worklist.ups import checking, refusals
from services.worklist.ups.building import code, dataset, first, items, moment
from services.worklist.ups.item import StepState, WorkItem, changed
from services.worklist.ups.table import TRANSACTION_UID

ALREADY_CANCELED: Final = "The UPS is already in the requested state of CANCELED."
ALREADY_COMPLETED: Final = "The UPS is already in the requested state of COMPLETED."


@dataclass(frozen=True, slots=True)
class Changed:
    """What a request brings.

    Attributes:
        steps: the work item after each change, one after another; empty where nothing changes.
        warning: text for the Warning header, or "".
        cancel_requested: who performs it is to be told that somebody wants it to end.
    """

    steps: tuple[WorkItem, ...] = ()
    warning: str = ""
    cancel_requested: bool = False


def change_state(item: WorkItem, state: str, transaction_uid: str, at: datetime) -> Changed:
    """What N-ACTION Change UPS State brings (Table CC.1.1-2).

    Raises:
        WorkItemRefusedError: C300 to C304, C310 or 400.
    """
    match state:
        case StepState.SCHEDULED:
            raise refusals.in_wrong_state("C303", "a work item becomes SCHEDULED by being created only")
        case StepState.IN_PROGRESS:
            return _claim(item, transaction_uid, at)
        case StepState.COMPLETED | StepState.CANCELED:
            return _end(item, StepState(state), transaction_uid, at)
        case _:
            raise refusals.invalid("ProcedureStepState is one of IN PROGRESS, COMPLETED, CANCELED")


def _claim(item: WorkItem, transaction_uid: str, at: datetime) -> Changed:
    if not uids.is_legal(transaction_uid):
        raise refusals.wrong_transaction(transaction_uid)
    if item.state.final:
        raise refusals.in_wrong_state("C300", "the work item has ended and may no longer be updated")
    if item.state is StepState.IN_PROGRESS:
        if item.transaction_uid != transaction_uid:
            raise refusals.wrong_transaction(transaction_uid)
        raise refusals.in_wrong_state("C302", "the work item is IN PROGRESS already")
    return Changed((claimed(item, transaction_uid, at),))


def claimed(item: WorkItem, transaction_uid: str, at: datetime) -> WorkItem:
    """The work item, taken."""
    return replace(changed(item, at, {}, StepState.IN_PROGRESS), transaction_uid=transaction_uid)


def _end(item: WorkItem, state: StepState, transaction_uid: str, at: datetime) -> Changed:
    if not transaction_uid or item.transaction_uid not in ("", transaction_uid):
        raise refusals.wrong_transaction(transaction_uid)
    match item.state:
        case StepState.SCHEDULED:
            raise refusals.in_wrong_state("C310", "the work item is not yet IN PROGRESS")
        case StepState.IN_PROGRESS:
            after = dated(item, at) if state is StepState.CANCELED else item
            checking.to_end(after, state)
            return Changed((changed(after, at, {}, state),))
        case _ if item.state is state:
            return Changed(warning=ALREADY_CANCELED if state is StepState.CANCELED else ALREADY_COMPLETED)
        case _:
            raise refusals.in_wrong_state("C300", "the work item has ended and may no longer be updated")


def dated(item: WorkItem, at: datetime) -> WorkItem:
    """The work item with a time of cancellation, which the server fills in where there is none."""
    information = (items(item.attributes, "ProcedureStepProgressInformationSequence") or [{}])[0]
    if first(information, "ProcedureStepCancellationDateTime"):
        return item
    information = information | dataset(ProcedureStepCancellationDateTime=moment(at))
    return changed(item, at, dataset(ProcedureStepProgressInformationSequence=[information]))


def update(item: WorkItem, given: DicomJson, transaction_uid: str, at: datetime) -> Changed:
    """What N-SET brings (PS3.4 CC.2.6, PS3.18 11.6).

    Raises:
        WorkItemRefusedError: C300, C301, or a value that must not be set.
    """
    if item.state.final:
        raise refusals.ended()
    # Of one that is SCHEDULED nobody has the key: to send one is a mistake about its state (CC.2.6.2).
    if transaction_uid != item.transaction_uid:
        raise refusals.not_claimed()
    given = {tag: element for tag, element in given.items() if tag != TRANSACTION_UID}
    checking.to_update(given)
    return Changed((changed(item, at, given),))


def request_cancel(item: WorkItem, given: DicomJson, at: datetime, *, own: bool) -> Changed:
    """What N-ACTION Request UPS Cancel brings (PS3.4 CC.2.2.3).

    Args:
        given: perhaps a reason, codes of it, and whom to ask.
        own: the mesh performs it: then it is cancelled.

    Raises:
        WorkItemRefusedError: it is completed (C311).
    """
    match item.state:
        case StepState.COMPLETED:
            raise refusals.completed_already()
        case StepState.CANCELED:
            return Changed(warning=ALREADY_CANCELED)
        case StepState.IN_PROGRESS if not own:
            return Changed(cancel_requested=True)
        case _:
            reasons = items(given, "ProcedureStepDiscontinuationReasonCodeSequence")
            why = first(given, "ReasonForCancellation")
            steps = canceled(item, reasons, why, at)
            return Changed(steps, cancel_requested=item.state is StepState.IN_PROGRESS)


UNSPECIFIED: Final = code("110513", "DCM", "Discontinued for unspecified reason")
"""Of PS3.16 CID 9300."""


def canceled(item: WorkItem, reasons: list[DicomJson], why: str, at: datetime) -> tuple[WorkItem, ...]:
    """The work item as the server cancels it: IN PROGRESS first, then CANCELED, with what its final state asks for."""
    steps = [item]
    if item.state is StepState.SCHEDULED:
        steps.append(claimed(item, item.uid, at))
    information = (items(item.attributes, "ProcedureStepProgressInformationSequence") or [{}])[0] | dataset(
        ProcedureStepCancellationDateTime=moment(at),
        ReasonForCancellation=why,
        ProcedureStepDiscontinuationReasonCodeSequence=reasons or [UNSPECIFIED],
    )
    after = dataset(ProcedureStepProgressInformationSequence=[dict(sorted(information.items()))])
    steps.append(changed(steps[-1], at, after, StepState.CANCELED))
    return tuple(steps[1:])
