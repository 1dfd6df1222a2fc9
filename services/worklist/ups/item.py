"""A work item: a unified procedure step (PS3.4 CC.1)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from services.dicom.dicom_json import DicomJson
from services.worklist.ups.building import dataset, moment


class StepState(StrEnum):
    """Procedure Step State (0074,1000): the states of PS3.4 Figure CC.1.1-1."""

    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"

    @property
    def final(self) -> bool:
        """Whether nothing changes any more."""
        return self in {StepState.COMPLETED, StepState.CANCELED}


@dataclass(frozen=True, slots=True)
class WorkItem:
    """A work item as it is kept.

    Attributes:
        attributes: DICOM JSON, with the state, without the Transaction UID.
        transaction_uid: the lock of who performs it; "" while nobody does.
        job_id: the job of the mesh that it stands for, or "".
        position: grows with every new work item; 0 before it is kept.
    """

    uid: str
    state: StepState
    attributes: DicomJson
    created_at: datetime
    transaction_uid: str = ""
    job_id: str = ""
    position: int = 0


def changed(item: WorkItem, at: datetime, changes: DicomJson, state: StepState | None = None) -> WorkItem:
    """The work item with attributes in place of what it had; the server notes when (PS3.4 Table CC.2.5-3)."""
    state = state or item.state
    own = dataset(ProcedureStepState=state.value, ScheduledProcedureStepModificationDateTime=moment(at))
    return replace(item, state=state, attributes=dict(sorted((item.attributes | changes | own).items())))
