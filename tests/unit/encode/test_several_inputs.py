"""Results of a job that took a prior beside its series: the series is their source, the prior is evidence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from services.encode.adapters.highdicom import HighdicomEncoder
from services.encode.errors import SourceUnusable
from services.encode.model import OriginalInput, Task
from tests.unit.encode.made import (
    COLUMNS,
    FRAME_OF_REFERENCE,
    PLANES,
    ROWS,
    SERIES,
    STUDY,
    boxes,
    card,
    header,
    measured,
    original,
    read,
    said,
    sop,
    task,
)

PRIOR_STUDY, PRIOR_SERIES, PRIOR_SPACE = "1.2.826.0.1.81", "1.2.826.0.1.82", "1.2.826.0.1.83"


def prior(plane: int, **changed: Any) -> bytes:
    values = {
        "StudyInstanceUID": PRIOR_STUDY,
        "SeriesInstanceUID": PRIOR_SERIES,
        "FrameOfReferenceUID": PRIOR_SPACE,
        "StudyDate": "20240102",
        "SOPInstanceUID": f"1.2.826.0.1.84.{plane + 1}",
    }
    return header(plane, **{**values, **changed})


def compared(study: str = PRIOR_STUDY, **changed: Any) -> Task:
    """A task with a map and labels, of a job that took a prior of three slices."""
    uids = tuple(f"1.2.826.0.1.84.{plane + 1}" for plane in range(3))
    beside = OriginalInput("prior", study, PRIOR_SERIES, uids)
    coded = {"code": "C0", "scheme": "99TEST", "meaning": "Change"}
    told = card(map={"name": "change", "quantity": coded, "unit": {**coded, "code": "1", "scheme": "UCUM"}})
    values = np.ones((PLANES, ROWS, COLUMNS), np.float32)
    result = said(told, PLANES, labels=boxes(), measurements=measured(), map=values)
    headers = [prior(plane, StudyInstanceUID=study) for plane in range(3)]
    return replace(task(result), original=original(inputs=(beside,)), **{"beside": [headers], **changed})


def made(of: Task) -> dict[str, Dataset]:
    return {str(one.kind): read(one) for one in HighdicomEncoder(omit_empty_frames=True).encode(of).documents}


def test_a_prior_of_another_study_is_evidence_and_the_source_stays_what_it_was() -> None:
    documents = made(compared())
    for ds in (documents["SEG"], documents["PM"]):
        assert (ds.StudyInstanceUID, ds.FrameOfReferenceUID) == (STUDY, FRAME_OF_REFERENCE)
        assert [one.SeriesInstanceUID for one in ds.ReferencedSeriesSequence] == [SERIES]
        (study,) = ds.StudiesContainingOtherReferencedInstancesSequence
        (series,) = study.ReferencedSeriesSequence
        assert (study.StudyInstanceUID, series.SeriesInstanceUID) == (PRIOR_STUDY, PRIOR_SERIES)
        assert len(series.ReferencedInstanceSequence) == 3
        named = {one.ReferencedSOPInstanceUID for one in ds.SourceImageSequence}
        assert {f"1.2.826.0.1.84.{plane + 1}" for plane in range(3)} <= named
        derived = {
            source.ReferencedSOPInstanceUID
            for frame in ds.PerFrameFunctionalGroupsSequence
            for derivation in frame.DerivationImageSequence
            for source in derivation.SourceImageSequence
        }
        assert derived <= {sop(plane) for plane in range(PLANES)}
    report = documents["SR"]
    current, other = report.CurrentRequestedProcedureEvidenceSequence, report.PertinentOtherEvidenceSequence
    assert {one.StudyInstanceUID for one in current} == {STUDY}
    assert [(one.StudyInstanceUID, len(one.ReferencedSeriesSequence)) for one in other] == [(PRIOR_STUDY, 1)]
    library = next(one for one in report.ContentSequence if one.ConceptNameCodeSequence[0].CodeValue == "111028")
    told = [
        {
            item.ConceptNameCodeSequence[0].CodeMeaning: item.get("Date") or item.get("UID")
            for item in group.ContentSequence
        }
        for group in library.ContentSequence
    ]
    assert [(one["Study Date"], one["Frame of Reference UID"]) for one in told] == [
        ("20250102", FRAME_OF_REFERENCE),
        ("20240102", PRIOR_SPACE),
    ]


def test_another_series_of_the_same_study_stands_beside_the_source() -> None:
    documents = made(compared(study=STUDY))
    for ds in (documents["SEG"], documents["PM"]):
        assert [one.SeriesInstanceUID for one in ds.ReferencedSeriesSequence] == [SERIES, PRIOR_SERIES]
        assert "StudiesContainingOtherReferencedInstancesSequence" not in ds
    assert "PertinentOtherEvidenceSequence" not in documents["SR"]


def test_headers_that_are_not_of_the_input_are_refused() -> None:
    with pytest.raises(SourceUnusable, match="of the input prior"):
        made(compared(beside=[[prior(0, SeriesInstanceUID="1.2.3")]]))
