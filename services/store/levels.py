"""Which attributes of an instance tell of its patient and study, which of its series (PS3.3 A.1.2, C.7.1 to C.7.3).

A query answers with the first instance's; what the index counts itself (modalities, numbers of series and instances) is
not among them.
"""

from __future__ import annotations

from typing import Any, Final

from services.dicom.attributes import SERIES, STUDY, tag_of
from services.dicom.dicom_json import select

_COUNTED = {
    "ModalitiesInStudy",
    "SOPClassesInStudy",
    "NumberOfStudyRelatedSeries",
    "NumberOfStudyRelatedInstances",
    "NumberOfSeriesRelatedInstances",
    "InstanceAvailability",
    "RetrieveURL",
}

_STUDY_MORE = (
    "StudyDescription",
    "ProcedureCodeSequence",
    "PhysiciansOfRecord",
    "NameOfPhysiciansReadingStudy",
    "ConsultingPhysicianName",
    "ReferencedStudySequence",
    "AdmittingDiagnosesDescription",
    "InstitutionName",
    "IssuerOfPatientID",
    "OtherPatientIDs",
    "OtherPatientIDsSequence",
    "OtherPatientNames",
    "PatientBirthTime",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "PatientComments",
    "PatientSpeciesDescription",
    "EthnicGroup",
    "Occupation",
    "PregnancyStatus",
    "PatientIdentityRemoved",
    "DeidentificationMethod",
    "DeidentificationMethodCodeSequence",
)

_SERIES_MORE = (
    "SeriesDate",
    "SeriesTime",
    "BodyPartExamined",
    "Laterality",
    "PatientPosition",
    "ProtocolName",
    "Manufacturer",
    "ManufacturerModelName",
    "StationName",
    "InstitutionalDepartmentName",
    "PerformingPhysicianName",
    "OperatorsName",
    "FrameOfReferenceUID",
    "SeriesDescriptionCodeSequence",
    "PerformedProcedureStepID",
    "PerformedProcedureStepDescription",
    "ReferencedPerformedProcedureStepSequence",
)


def _tags(standard: tuple[Any, ...], more: tuple[str, ...]) -> frozenset[str]:
    keywords = {attribute.keyword for attribute in standard} - _COUNTED | set(more)
    return frozenset(tag for tag in map(tag_of, keywords) if tag)


STUDY_TAGS: Final = _tags(STUDY, _STUDY_MORE)
SERIES_TAGS: Final = _tags(SERIES, _SERIES_MORE)

_CODE: Final = ("CodeValue", "CodingSchemeDesignator", "CodeMeaning")
_REFERENCE: Final = ("ReferencedSOPClassUID", "ReferencedSOPInstanceUID")

STUDY_ITEMS: Final = {
    "ProcedureCodeSequence": _CODE,
    "ReferencedStudySequence": _REFERENCE,
    "OtherPatientIDsSequence": ("PatientID", "IssuerOfPatientID", "TypeOfPatientID"),
    "DeidentificationMethodCodeSequence": _CODE,
}
"""Attributes of items that a query can match, by the sequence of the study."""
SERIES_ITEMS: Final = {
    "RequestAttributesSequence": (
        *("ScheduledProcedureStepID", "RequestedProcedureID", "AccessionNumber", "StudyInstanceUID"),
        *("ScheduledProcedureStepDescription", "RequestedProcedureDescription"),
    ),
    "SeriesDescriptionCodeSequence": _CODE,
    "ReferencedPerformedProcedureStepSequence": _REFERENCE,
}
"""The same of the series."""


def study_attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    """Gives the part of an instance's DICOM JSON that tells of its patient and study."""
    return select(attributes, STUDY_TAGS)


def series_attributes(attributes: dict[str, Any]) -> dict[str, Any]:
    """Gives the part of an instance's DICOM JSON that tells of its series."""
    return select(attributes, SERIES_TAGS)
