"""A job of ours as a work item: what is to be done, on what, and where it can be read (IHE AIW-I, PS3.3 C.30)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.contracts.card import ModelCard, ResultKind
from services.contracts.events import Result
from services.dicom.attributes import tag_of
from services.dicom.dicom_json import DicomJson
from services.dicom.uids import derived_uid
from services.worklist.model import Job
from services.worklist.ups.building import SCHEME, code, codes_of, dataset, first, items, moment
from services.worklist.ups.checking import to_create
from services.worklist.ups.item import StepState, WorkItem
from services.worklist.ups.table import SOP_CLASS

WORKLIST_LABEL: Final = "Plexus AI"
_OF_THE_PATIENT: Final = (
    *("PatientName", "PatientID", "IssuerOfPatientID", "IssuerOfPatientIDQualifiersSequence", "PatientBirthDate"),
    *("PatientSex", "AdmissionID", "IssuerOfAdmissionIDSequence", "AdmittingDiagnosesDescription"),
)
_OF_THE_REQUEST: Final = ("AccessionNumber", "IssuerOfAccessionNumberSequence")
_MOST_REFERENCES: Final = 5000


@dataclass(frozen=True, slots=True)
class Input:
    """A series as a work item tells of it.

    Attributes:
        attributes: of one instance that stands for the series, DICOM JSON.
        references: SOP class and SOP instance of each instance.
    """

    study_instance_uid: str
    series_instance_uid: str
    attributes: Any
    references: Sequence[tuple[str, str]] = ()


def item_uid(job: Job) -> str:
    """The UID of the work item of a job's attempt: the same, whoever asks."""
    return derived_uid("plexus work item", job.id, str(job.attempt))


def item_of(
    job: Job, card: ModelCard, source: Input, dicomweb: str, at: datetime, *, more: Sequence[Input] = ()
) -> WorkItem:
    """The work item of a new job; `more`: what it takes beside its series, in the card's order."""
    shared = {keyword: _taken(source.attributes, keyword) for keyword in _OF_THE_PATIENT}
    request = {
        **dataset(StudyInstanceUID=source.study_instance_uid),
        **_copied(source.attributes, _OF_THE_REQUEST),
    }
    given = dataset(
        ScheduledProcedureStepPriority=job.priority.value,
        ProcedureStepLabel=f"{card.title} {card.version}"[:64],
        WorklistLabel=WORKLIST_LABEL,
        ScheduledProcedureStepStartDateTime=moment(job.not_before or job.requested_at),
        ScheduledProcedureStepExpirationDateTime=moment(job.deadline) if job.deadline else "",
        ScheduledWorkitemCodeSequence=[code(card.name, SCHEME, card.title)],
        InputReadinessState="READY",
        InputInformationSequence=[
            reference(
                one.study_instance_uid,
                one.series_instance_uid,
                one.references,
                f"{dicomweb}/studies/{one.study_instance_uid}/series/{one.series_instance_uid}",
            )
            for one in (source, *more)
        ],
        StudyInstanceUID=source.study_instance_uid,
        ProcedureStepState=StepState.SCHEDULED.value,
        TimezoneOffsetFromUTC="+0000",
    )
    given |= {tag: element for tag, element in _named(shared).items() if element}
    given |= dataset(ReferencedRequestSequence=[request])
    return new_item(item_uid(job), given, at, job_id=job.id)


def new_item(uid: str, given: DicomJson, at: datetime, *, job_id: str = "") -> WorkItem:
    """A work item as it is created: with what the table adds, and what the server says of it."""
    completed, _ = to_create(given)
    own = dataset(
        SOPClassUID=SOP_CLASS,
        SOPInstanceUID=uid,
        ScheduledProcedureStepModificationDateTime=moment(at),
        ProcedureStepState=StepState.SCHEDULED.value,
        SpecificCharacterSet="ISO_IR 192",
        WorklistLabel=first(completed, "WorklistLabel") or WORKLIST_LABEL,
    )
    transaction = tag_of("TransactionUID") or ""
    attributes = {tag: element for tag, element in (completed | own).items() if tag != transaction}
    return WorkItem(uid, StepState.SCHEDULED, dict(sorted(attributes.items())), at, job_id=job_id)


def reference(study: str, series: str, references: Iterable[tuple[str, str]], retrieve: str) -> DicomJson:
    """Instances of a series, and the address where they are read (PS3.3 Table 10-3b)."""
    listed = list(references)[:_MOST_REFERENCES]
    return dataset(
        TypeOfInstances="DICOM",
        StudyInstanceUID=study,
        SeriesInstanceUID=series,
        ReferencedSOPSequence=[
            dataset(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=instance)
            for sop_class, instance in listed
        ],
        WADORSRetrievalSequence=[dataset(RetrieveURL=retrieve)],
    )


def outputs(results: Sequence[Result], dicomweb: str) -> list[DicomJson]:
    """The results of a job, by series."""
    series = dict.fromkeys((each.study_instance_uid, each.series_instance_uid) for each in results)
    return [
        reference(
            study,
            uid,
            [(each.sop_class_uid, each.sop_instance_uid) for each in results if each.series_instance_uid == uid],
            f"{dicomweb}/studies/{study}/series/{uid}",
        )
        for study, uid in series
    ]


_STORAGE: Final = "1.2.840.10008.5.1.4.1.1."
_KINDS: Final = {
    f"{_STORAGE}{tail}": kind
    for kind, tails in {
        ResultKind.SEG: ("66.4", "66.7"),
        ResultKind.SR: ("88.11", "88.22", "88.33", "88.34", "88.35"),
        ResultKind.PM: ("30",),
        ResultKind.SC: ("7", "7.1", "7.2", "7.3", "7.4"),
        ResultKind.GSPS: ("11.1",),
        ResultKind.PDF: ("104.1",),
        ResultKind.STL: ("104.3",),
        ResultKind.KO: ("88.59",),
        ResultKind.BLEND: ("11.8",),
    }.items()
    for tail in tails
}
"""Of what a performer outside stores, by its SOP class (PS3.4 B.5)."""


def results_of(item: WorkItem) -> tuple[Result, ...]:
    """What an outside performer says that it made: the Output Information Sequence."""
    return tuple(
        Result(
            _KINDS.get(first(instance, "ReferencedSOPClassUID"), "DICOM"),
            first(output, "StudyInstanceUID"),
            first(output, "SeriesInstanceUID"),
            first(instance, "ReferencedSOPInstanceUID"),
            first(instance, "ReferencedSOPClassUID"),
        )
        for performed in items(item.attributes, "UnifiedProcedureStepPerformedProcedureSequence")
        for output in items(performed, "OutputInformationSequence")
        for instance in items(output, "ReferencedSOPSequence")
    )


@dataclass(frozen=True, slots=True)
class Asked:
    """What a work item that somebody creates asks of us: a model of ours, on a series.

    Attributes:
        more: series for its further inputs, in the order of its card.
    """

    model: str
    study_instance_uid: str
    series_instance_uid: str
    more: tuple[str, ...] = ()


def asked_of(given: DicomJson) -> Asked | None:
    """The run that a work item asks for; None if it is none of ours."""
    models = [value for value, scheme in codes_of(given, "ScheduledWorkitemCodeSequence") if scheme == SCHEME]
    inputs = items(given, "InputInformationSequence")
    if len(models) != 1 or not inputs:
        return None
    study = first(inputs[0], "StudyInstanceUID") or first(given, "StudyInstanceUID")
    series = first(inputs[0], "SeriesInstanceUID")
    more = tuple(first(one, "SeriesInstanceUID") for one in inputs[1:])
    return Asked(models[0], study, series, more) if study and series and all(more) else None


def _taken(attributes: Any, keyword: str) -> Any:
    return attributes.get(tag_of(keyword) or "") if isinstance(attributes, dict) else None


def _copied(attributes: Any, keywords: Iterable[str]) -> DicomJson:
    return _named({keyword: _taken(attributes, keyword) for keyword in keywords})


def _named(elements: dict[str, Any]) -> DicomJson:
    return {tag_of(keyword) or "": element for keyword, element in elements.items() if isinstance(element, dict)}
