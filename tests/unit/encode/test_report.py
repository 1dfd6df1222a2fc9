from __future__ import annotations

from typing import Any

import highdicom as hd
import numpy as np
from pydicom.sr.codedict import codes
from pydicom.uid import Comprehensive3DSRStorage

from services.encode.adapters.highdicom import HighdicomEncoder
from services.encode.model import Document, Kind, Task
from tests.unit.encode.made import JOB, NAMES, PLANES, SERIES, STUDY, boxes, headers, original, read, result, sop, task


def _documents(made: Task) -> tuple[Document, ...]:
    return HighdicomEncoder(omit_empty_frames=True).encode(made).documents


def _report(made: Task) -> Any:
    return hd.sr.Comprehensive3DSR.from_dataset(read(_documents(made)[-1]))


def test_each_label_has_a_group_with_its_measurements_on_its_segment() -> None:
    seg, sr = (read(document) for document in _documents(task()))
    report = hd.sr.Comprehensive3DSR.from_dataset(sr)
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert [
        {item.name.meaning: (item.value, item.unit.value) for item in group.get_measurements()} for group in groups
    ] == [
        {"Volume": (2011.5, "mL"), "Mean Attenuation Coefficient": (-812.25, "[hnsf'U]")},
        {"Volume": (2380.125, "mL")},
    ]
    for group, segment in zip(groups, seg.SegmentSequence, strict=True):
        assert group.tracking_uid == segment.TrackingUID
        assert group.tracking_identifier == segment.TrackingID
        assert group.finding_type.meaning == segment.SegmentLabel
        assert [site.value.meaning for site in group.finding_sites] == [segment.SegmentLabel]
        assert group.finding_category.value == "91723000"
        reference = group.referenced_segment
        assert reference.referenced_sop_instance_uid == seg.SOPInstanceUID
        assert reference.referenced_segment_numbers == [segment.SegmentNumber]
        assert reference.source_series_for_segmentation.value == SERIES


def test_the_report_is_complete_preliminary_and_verified_by_nobody() -> None:
    report = _report(task())
    assert (report.SOPClassUID, report.Modality) == (Comprehensive3DSRStorage, "SR")
    assert (report.CompletionFlag, report.VerificationFlag, report.PreliminaryFlag) == (
        "COMPLETE",
        "UNVERIFIED",
        "PRELIMINARY",
    )
    assert report.content[0].ContentTemplateSequence[0].TemplateIdentifier == "1500"
    # OHIF shows only this title as a measurement report.
    assert report.ConceptNameCodeSequence[0].CodeValue == "126000"


def test_a_device_observed_and_says_its_model_and_version() -> None:
    items = {item.name.meaning: item for item in _report(task()).content[0].ContentSequence}
    assert items["Observer Type"].value == codes.DCM.Device
    assert items["Device Observer Name"].value == "Plexus encode"
    assert items["Device Observer Model Name"].value == "ct-lung 1.0.0"
    assert items["Device Observer UID"].value == NAMES.device("ct-lung", "1.0.0")
    assert items["Procedure reported"].value.meaning == "CT unspecified body region"


def test_the_intended_use_stands_in_the_report() -> None:
    (container,) = (
        item for item in _report(task()).content[0].ContentSequence if item.name.meaning == "Qualitative Evaluations"
    )
    assert [item.value for item in container.ContentSequence] == [
        "Research and demonstration. Not for clinical use. Made by an algorithm, not verified by a person."
    ]


def test_the_algorithm_stands_in_each_group() -> None:
    for group in _report(task()).content.get_volumetric_roi_measurement_groups():
        told = {item.name.meaning: item.value for item in group[0].ContentSequence if item.ValueType == "TEXT"}
        assert (told["Algorithm Name"], told["Algorithm Version"]) == ("ct-lung", "1.0.0")


def test_evidence_and_image_library_hold_every_source_instance() -> None:
    documents = _documents(task())
    report = read(documents[-1])
    everything = {sop(plane) for plane in range(PLANES)}
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    assert study.StudyInstanceUID == STUDY
    by_series = {
        series.SeriesInstanceUID: {item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence}
        for series in study.ReferencedSeriesSequence
    }
    seg = NAMES.instance(JOB, Kind.SEG)
    assert by_series == {SERIES: everything, seg.series_instance_uid: {seg.sop_instance_uid}}
    (library,) = (
        item for item in report.ContentSequence if item.ConceptNameCodeSequence[0].CodeMeaning == "Image Library"
    )
    (group,) = library.ContentSequence
    images = [item for item in group.ContentSequence if item.ValueType == "IMAGE"]
    assert {item.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for item in images} == everything


def test_a_label_without_voxels_is_told_to_be_absent_with_its_volume() -> None:
    made = result(boxes(left=0), np.array([[0, np.nan], [5, 6]], np.float32))
    content = _report(task(made)).content
    (absent,) = content.get_image_measurement_groups()
    assert absent.finding_type.meaning == "Left lung"
    assert [(item.name.meaning, item.value) for item in absent.get_measurements()] == [("Volume", 0.0)]
    told = [(item.name.meaning, item.value.meaning) for item in absent.get_qualitative_evaluations()]
    assert ("Presence", "Absent") in told
    (present,) = content.get_volumetric_roi_measurement_groups()
    assert present.referenced_segment.referenced_segment_numbers == [1]


def test_nothing_found_is_a_result() -> None:
    made = result(np.zeros_like(boxes()), np.full((2, 2), np.nan, np.float32))
    report = _report(task(made))
    groups = report.content.get_image_measurement_groups()
    assert [group.finding_type.meaning for group in groups] == ["Left lung", "Right lung"]
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    assert [series.SeriesInstanceUID for series in study.ReferencedSeriesSequence] == [SERIES]


def test_a_report_names_the_one_that_it_replaces() -> None:
    before = NAMES.instance("job-0", Kind.SR)
    report = _report(task(original=original(revision=2, supersedes="job-0"), predecessors={Kind.SR: before}))
    (study,) = report.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (item,) = series.ReferencedSOPSequence
    assert (study.StudyInstanceUID, series.SeriesInstanceUID, item.ReferencedSOPInstanceUID) == (
        STUDY,
        before.series_instance_uid,
        before.sop_instance_uid,
    )


def test_a_first_report_replaces_none() -> None:
    assert "PredecessorDocumentsSequence" not in _report(task())


def test_the_procedure_of_an_unknown_modality_is_an_imaging_procedure() -> None:
    items = {
        item.name.meaning: item for item in _report(task(source=headers(Modality="OT"))).content[0].ContentSequence
    }
    assert items["Procedure reported"].value == codes.SCT.ImagingProcedure
