"""A model that compares a CT with the newest earlier one of the patient, from C-STORE to the report."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from typer.testing import CliRunner

from services.launcher.cli import app
from tests.mesh import Site
from tests.studies import Study, make_study

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Compared:
    """The job on the study of today, and both studies."""

    job: dict[str, Any]
    today: Study
    earlier: Study
    refusal: str


def _of_one_patient(folder: Path, study: Study, like: Study, **changed: str) -> None:
    """Make the patient of a study that of another one."""
    patient = dcmread(next(like.folder.glob("*.dcm")), stop_before_pixels=True)
    for path in study.folder.glob("*.dcm"):
        ds = dcmread(path)
        for keyword in ("PatientID", "IssuerOfPatientID", "PatientName", "PatientBirthDate"):
            if keyword in patient:
                ds[keyword] = patient[keyword]
        for keyword, value in changed.items():
            setattr(ds, keyword, value)
        ds.save_as(path)


@pytest.fixture(scope="module")
def compared(site: Site, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Compared:
    """The study of today is sent first, then the earlier one: it runs when that is there."""
    folder = tmp_path_factory.mktemp("compared")
    package = folder / "ct-change"
    shutil.copytree(ROOT / "examples" / "ct-change", package)
    card = package / "model.yaml"  # it leaves the studies of other tests alone
    card.write_text(card.read_text().replace("instances >= 20", 'instances >= 20 && series.StudyID == "COMPARE"'))
    published = CliRunner().invoke(app, ["model", "publish", str(package), "--activate", "--data", str(site.data)])
    assert published.exit_code == 0, published.output
    today = make_study(sample, folder / "today", seed="compared today", shrink=8, count=25)
    earlier = make_study(sample, folder / "earlier", seed="compared earlier", shrink=8, count=20)
    _of_one_patient(folder, today, today, StudyID="COMPARE", StudyDate="20260110", StudyTime="080000")
    _of_one_patient(folder, earlier, today, StudyID="COMPARE", StudyDate="20251231", StudyTime="080000")
    assert site.storescu(today.folder).returncode == 0
    site.until(lambda: site.jobs(today.study_instance_uid))  # of the other models: the series has settled
    wish = {"model": "ct-change", "study": today.study_instance_uid}
    refused = site.http.post("/jobs", json=wish)
    assert refused.status_code == 409
    assert site.storescu(earlier.folder).returncode == 0
    job = site.finished(today.study_instance_uid, "ct-change")
    assert job["state"] == "completed", job
    return Compared(job, today, earlier, refused.json()["detail"])


def _result(site: Site, job: dict[str, Any], kind: str) -> Dataset:
    (result,) = [one for one in job["results"] if one["kind"] == kind]
    (found,) = site.client().retrieve_series(result["study_instance_uid"], result["series_instance_uid"])
    return found


def test_without_its_prior_the_model_says_in_words_what_is_missing(compared: Compared) -> None:
    assert "ct-change takes beside this series also prior (of an earlier study of the patient)" in compared.refusal


def test_the_report_has_both_volumes_and_its_evidence_is_there(site: Site, compared: Compared) -> None:
    report, client = _result(site, compared.job, "SR"), site.client()
    assert report.StudyInstanceUID == compared.today.study_instance_uid
    numbers = [
        float(item.MeasuredValueSequence[0].NumericValue)
        for container in report.ContentSequence
        for group in container.get("ContentSequence", [])
        for item in group.get("ContentSequence", [])
        if item.ValueType == "NUM"
    ]
    now, before, change = numbers
    assert 2000 < now < 8000 and change == pytest.approx(100 * (now - before) / before, rel=1e-3)
    evidence = [*report.CurrentRequestedProcedureEvidenceSequence, *report.PertinentOtherEvidenceSequence]
    named = {
        (study.StudyInstanceUID, one.SeriesInstanceUID) for study in evidence for one in study.ReferencedSeriesSequence
    }
    for study in (compared.today, compared.earlier):
        assert (study.study_instance_uid, study.series_instance_uid) in named
    for study in evidence:
        for series in study.ReferencedSeriesSequence:
            there = client.search_for_instances(study.StudyInstanceUID, series.SeriesInstanceUID)
            uids = {item["00080018"]["Value"][0] for item in there}
            assert {item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence} <= uids


def test_both_studies_crossed_the_airlock_as_one_pseudonymous_patient(site: Site, compared: Compared) -> None:
    files = sorted((site.data / "work" / "jobs" / compared.job["id"] / "input").glob("*.dcm"))
    crossed = [dcmread(path, stop_before_pixels=True) for path in files]
    assert len(crossed) == 45
    assert len({ds.PatientID for ds in crossed}) == 1 and len({ds.StudyInstanceUID for ds in crossed}) == 2
    data = b"".join(path.read_bytes() for path in files)
    for secret in (*compared.today.phi, *compared.earlier.phi):
        assert secret.encode() not in data


def test_a_person_chooses_the_prior_and_may_not_choose_that_of_somebody_else(site: Site, compared: Compared) -> None:
    wish = {"model": "ct-change", "study": compared.today.study_instance_uid}
    chosen = {"inputs": {"prior": compared.earlier.series_instance_uid}}
    (same,) = site.http.post("/jobs", json=wish | chosen).json()["jobs"]
    assert same["id"] == compared.job["id"]
    refused = site.http.post("/jobs", json=wish | {"inputs": {"prior": compared.today.series_instance_uid}})
    assert (refused.status_code, refused.json()["code"]) == (409, "input-unfit")
    (item,) = site.http.get(
        "/dicom-web/workitems",
        params={"includefield": "all", "ScheduledWorkitemCodeSequence.CodeValue": "ct-change"},
        headers={"Accept": "application/dicom+json"},
    ).json()
    series = [one["0020000E"]["Value"][0] for one in item["00404021"]["Value"]]
    assert series == [compared.today.series_instance_uid, compared.earlier.series_instance_uid]
