"""A chest CT goes in by C-STORE; a DICOMweb client finds the segmentation and the report."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from pydicom import Dataset, dcmread

from tests.mesh import Site


def _results(site: Site, job: dict[str, Any], modality: str) -> list[Dataset]:
    client = site.client()
    study = job["study_instance_uid"]
    found = client.search_for_series(study, search_filters={"Modality": modality})
    own = {result["series_instance_uid"] for result in job["results"]}
    series = [item["0020000E"]["Value"][0] for item in found if item["0020000E"]["Value"][0] in own]
    return [instance for uid in series for instance in client.retrieve_series(study, uid)]


@pytest.fixture(scope="module")
def seg(site: Site, sample_job: dict[str, Any]) -> Any:
    (found,) = _results(site, sample_job, "SEG")
    return highdicom.seg.Segmentation.from_dataset(found)


@pytest.fixture(scope="module")
def report(site: Site, sample_job: dict[str, Any]) -> Any:
    (found,) = _results(site, sample_job, "SR")
    return highdicom.sr.Comprehensive3DSR.from_dataset(found)


def _findings(report: Any) -> dict[str, dict[str, float]]:
    groups = report.content.get_volumetric_roi_measurement_groups()
    return {
        group.finding_type.meaning: {item.name.meaning: float(item.value) for item in group.get_measurements()}
        for group in groups
    }


def test_every_slice_that_storescu_sent_is_found_and_equal(
    site: Site, sample_job: dict[str, Any], sample: Path
) -> None:
    client = site.client()
    stored = client.search_for_instances(sample_job["study_instance_uid"], sample_job["series_instance_uid"], limit=200)
    assert len(stored) == 100
    path = sorted(sample.glob("*.dcm"))[7]
    sent = dcmread(path)
    back = client.retrieve_instance(
        sample_job["study_instance_uid"],
        sample_job["series_instance_uid"],
        sent.SOPInstanceUID,
        media_types=(("application/dicom", "*"),),
    )
    assert back == sent


def test_the_references_of_the_seg_resolve_to_stored_instances(
    site: Site, sample_job: dict[str, Any], seg: Any
) -> None:
    client = site.client()
    stored = {
        item["00080018"]["Value"][0]
        for item in client.search_for_instances(
            sample_job["study_instance_uid"], sample_job["series_instance_uid"], limit=200
        )
    }
    assert seg.StudyInstanceUID == sample_job["study_instance_uid"]
    (series,) = seg.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == sample_job["series_instance_uid"]
    assert {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence} == stored
    framed = {
        source.ReferencedSOPInstanceUID
        for frame in seg.PerFrameFunctionalGroupsSequence
        for derivation in frame.DerivationImageSequence
        for source in derivation.SourceImageSequence
    }
    assert framed <= stored
    assert framed


def test_the_references_of_the_report_resolve_to_stored_instances(
    site: Site, sample_job: dict[str, Any], seg: Any, report: Any
) -> None:
    client = site.client()
    referenced = {
        (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert (seg.SOPClassUID, seg.SOPInstanceUID) in referenced
    for _, uid in referenced:
        assert client.search_for_instances(search_filters={"SOPInstanceUID": uid})


def test_the_lungs_have_volumes_of_a_live_adult_that_the_label_map_gives_too(seg: Any, report: Any) -> None:
    findings = _findings(report)
    spacing = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    voxel_ml = (
        float(spacing.PixelSpacing[0]) * float(spacing.PixelSpacing[1]) * float(spacing.SpacingBetweenSlices) / 1000
    )
    volume = seg.get_volume(combine_segments=True)
    by_number = {item.SegmentNumber: item.SegmentLabel for item in seg.SegmentSequence}
    for number, label in by_number.items():
        told = findings[label]["Volume"]
        assert 1000 < told < 5000
        assert told == pytest.approx(np.count_nonzero(volume.array == number) * voxel_ml, rel=1e-3)
    assert set(by_number.values()) == {"Left lung", "Right lung"}


def test_the_right_lung_lies_on_the_right_of_the_patient(seg: Any) -> None:
    volume = seg.get_volume(combine_segments=True)
    by_label = {item.SegmentLabel: item.SegmentNumber for item in seg.SegmentSequence}
    x = {
        label: volume.map_indices_to_reference(np.argwhere(volume.array == number)[::97])[:, 0].mean()
        for label, number in by_label.items()
    }
    assert x["Right lung"] < x["Left lung"]  # LPS: x grows towards the patient's left (PS3.3 C.7.6.2.1.1)


def test_the_seg_says_which_model_in_which_version_made_it(seg: Any) -> None:
    for segment in seg.SegmentSequence:
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        (algorithm,) = segment.SegmentationAlgorithmIdentificationSequence
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("ct-lung", "1.1.0")


@pytest.mark.parametrize("modality", ["SEG", "SR"])
def test_dciodvfy_finds_no_error(site: Site, sample_job: dict[str, Any], tmp_path: Path, modality: str) -> None:
    (result,) = _results(site, sample_job, modality)
    path = tmp_path / "result.dcm"
    result.save_as(path)
    checked = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
    errors = [line for line in checked.stderr.splitlines() if line.startswith("Error")]
    assert errors == []


def test_the_same_study_sent_again_changes_nothing(site: Site, sample_job: dict[str, Any], sample: Path) -> None:
    study = sample_job["study_instance_uid"]
    before = site.client().search_for_series(study)
    jobs = len(site.jobs(study))
    assert site.storescu(sample).returncode == 0
    assert site.client().search_for_series(study) == before
    assert len(site.jobs(study)) == jobs


def test_both_models_ran_since_both_cards_select_the_series(site: Site, sample_job: dict[str, Any]) -> None:
    bone = site.finished(sample_job["study_instance_uid"], "ct-bone")
    assert bone["state"] == "completed", bone


def test_every_store_query_and_retrieve_is_in_the_log(site: Site, sample_job: dict[str, Any]) -> None:
    site.client().search_for_studies(search_filters={"StudyInstanceUID": sample_job["study_instance_uid"]})

    def actions() -> set[str]:
        reply = site.http.get("/audit", params={"study": sample_job["study_instance_uid"], "limit": 1000})
        return {record["action"] for record in reply.raise_for_status().json()["records"]}

    site.until(lambda: {"store", "retrieve", "query", "deidentify", "reidentify", "result"} <= actions())
