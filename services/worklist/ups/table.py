"""PS3.4 Table CC.2.5-3 as data: what a work item must, may and must not say, and when.

Columns of a row, after the attribute (`>`: of the items of the sequence above):

    create  1 a value is required; 2 we add it empty where it is left out; 3 optional; E present at most empty;
            X not allowed; C required on a condition that only the client knows; S set by the server
    set     3 optional; X not allowed
    final   R a value is required to end; P to be COMPLETED; X to be CANCELED; N to be COMPLETED, perhaps without
            items; K required if known; O optional
    return  1, 2 and 1C: part of every search result; 3 on request; - never

The macros that the table includes (codes, content items, references, issuers) are kept as they come; of codes
`services.worklist.ups.checking` looks at value and meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from services.dicom.attributes import tag_of, vr_of

_TABLE: Final = """
TransactionUID                                    E X O -
SpecificCharacterSet                              3 3 K 1C
SOPClassUID                                       S X R 1
SOPInstanceUID                                    S X R 1
ScheduledProcedureStepPriority                    1 3 R 1
ScheduledProcedureStepModificationDateTime        S S R 3
ProcedureStepLabel                                1 3 O 1
WorklistLabel                                     2 3 O 1
ScheduledProcessingParametersSequence             2 3 O 2
ScheduledStationNameCodeSequence                  2 3 O 2
ScheduledStationClassCodeSequence                 2 3 O 2
ScheduledStationGeographicLocationCodeSequence    2 3 O 2
ScheduledHumanPerformersSequence                  3 3 O 2
>HumanPerformerCodeSequence                       1 3 O 1
>HumanPerformerName                               1 3 O 3
>HumanPerformerOrganization                       1 3 O 3
ScheduledProcedureStepStartDateTime               1 3 R 1
ExpectedCompletionDateTime                        3 3 O 3
ScheduledProcedureStepExpirationDateTime          3 3 O 3
ScheduledWorkitemCodeSequence                     2 3 O 2
CommentsOnTheScheduledProcedureStep               2 3 O 3
InputReadinessState                               1 3 R 1
InputInformationSequence                          2 3 O 2
StudyInstanceUID                                  C 3 O 2
OutputDestinationSequence                         3 3 O 3
PatientName                                       2 X O 2
PatientID                                         C X O 2
IssuerOfPatientID                                 2 X O 2
IssuerOfPatientIDQualifiersSequence               2 X O 2
OtherPatientIDsSequence                           2 3 O 2
>PatientID                                        1 3 O 1
PatientBirthDate                                  2 X O 2
PatientSex                                        2 X O 2
ReferencedPatientPhotoSequence                    3 3 O 3
AdmissionID                                       2 X O 2
IssuerOfAdmissionIDSequence                       2 X O 2
AdmittingDiagnosesDescription                     2 X O 2
AdmittingDiagnosesCodeSequence                    2 X O 2
ReferencedRequestSequence                         2 X O 2
>StudyInstanceUID                                 1 X O 1
>AccessionNumber                                  2 X O 2
>IssuerOfAccessionNumberSequence                  2 X O 2
>PlacerOrderNumberImagingServiceRequest           3 X O 1C
>OrderPlacerIdentifierSequence                    2 X O 2
>FillerOrderNumberImagingServiceRequest           3 X O 1C
>OrderFillerIdentifierSequence                    2 X O 2
>RequestedProcedureID                             2 X O 2
>RequestedProcedureDescription                    2 X O 2
>RequestedProcedureCodeSequence                   2 X O 2
ReplacedProcedureStepSequence                     C X O 3
MedicalAlerts                                     3 3 O 1C
PregnancyStatus                                   3 3 O 1C
SpecialNeeds                                      3 3 O 1C
ProcedureStepState                                1 X R 1
ProcedureStepProgressInformationSequence          E 3 X 2
>ProcedureStepProgress                            X 3 O -
>ProcedureStepProgressDescription                 X 3 O -
>ProcedureStepProgressParametersSequence          X 3 O -
>ProcedureStepCommunicationsURISequence           X 3 O -
>>ContactURI                                      X 1 O -
>>ContactDisplayName                              X 3 O -
>ProcedureStepCancellationDateTime                X 3 X -
>ReasonForCancellation                            X 3 O -
>ProcedureStepDiscontinuationReasonCodeSequence   X 3 X -
UnifiedProcedureStepPerformedProcedureSequence    E 3 P -
>ActualHumanPerformersSequence                    X 3 K 1C
>>HumanPerformerCodeSequence                      X 3 K -
>>HumanPerformerName                              X 3 K -
>>HumanPerformerOrganization                      X 3 O -
>PerformedStationNameCodeSequence                 X 3 P 3
>PerformedStationClassCodeSequence                X 3 O -
>PerformedStationGeographicLocationCodeSequence   X 3 O -
>PerformedProcedureStepStartDateTime              X 3 P -
>PerformedProcedureStepDescription                X 3 O -
>CommentsOnThePerformedProcedureStep              X 3 O -
>PerformedWorkitemCodeSequence                    X 3 P -
>PerformedProcessingParametersSequence            X 3 O -
>PerformedProcedureStepEndDateTime                X 3 P 1C
>OutputInformationSequence                        X 3 N -
"""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table; `create`, `set`, `final` and `answer` as the module says. `rows`: of its items."""

    tag: str
    keyword: str
    vr: str
    create: str
    set: str
    final: str
    answer: str
    rows: tuple[Row, ...] = ()


def _read(lines: list[str], depth: int) -> tuple[Row, ...]:
    found: list[Row] = []
    while lines and len(lines[0]) - len(lines[0].lstrip(">")) >= depth:
        keyword, create, set_, final, answer = lines.pop(0).lstrip(">").split()
        tag = tag_of(keyword)
        assert tag is not None, keyword  # noqa: S101  # a spelling mistake above, found at import
        found.append(Row(tag, keyword, vr_of(tag), create, set_, final, answer, _read(lines, depth + 1)))
    return tuple(found)


ROWS: Final = _read(_TABLE.strip().splitlines(), 0)
BY_TAG: Final = {row.tag: row for row in ROWS}

TRANSACTION_UID: Final = "00081195"
"""Never answered: it is the key to the work item (PS3.4 CC.2.7.3)."""
SOP_CLASS: Final = "1.2.840.10008.5.1.4.34.6.1"
"""UPS Push, of every work item, whoever asks (PS3.4 CC.2.5.1.3.1)."""
WORKLIST: Final = "1.2.840.10008.5.1.4.34.5"
"""The well-known UID of a global subscription (PS3.4 CC.2.3)."""
FILTERED_WORKLIST: Final = "1.2.840.10008.5.1.4.34.5.1"
"""The well-known UID of a filtered global subscription (PS3.4 CC.2.3.3.1)."""

ANSWERED: Final = frozenset(row.tag for row in ROWS if row.answer in ("1", "2", "1C"))
"""What every search result has (PS3.18 11.9.2)."""
