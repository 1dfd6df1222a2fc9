"""A model that compares a CT with the newest earlier one of the patient, from C-STORE to the report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright
from pydicom import Dataset, dcmread
from typer.testing import CliRunner

from services.launcher.cli import app
from tests.e2e.test_the_viewer import _CHROMIUM, _QUIET, _panel
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


@pytest.fixture(scope="module")
def older(site: Site, compared: Compared, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A still earlier study of the patient, of more slices: the rule takes it for the second study, not for today's."""
    study = make_study(sample, tmp_path_factory.mktemp("older") / "older", seed="compared older", shrink=8, count=22)
    described = {"StudyID": "COMPARE", "StudyDate": "20251101", "StudyTime": "080000"}
    _of_one_patient(study.folder.parent, study, compared.today, **described, SeriesDescription="Chest of November")
    assert site.storescu(study.folder).returncode == 0
    assert site.finished(compared.earlier.study_instance_uid, "ct-change")["state"] == "completed"
    return study


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=list(_QUIET))
        yield browser.new_page(viewport={"width": 1400, "height": 1000})
        browser.close()


def _changes(site: Site, study: Study) -> list[dict[str, Any]]:
    """The jobs of ct-change on a study, oldest first."""
    return [job for job in reversed(site.jobs(study.study_instance_uid)) if job["model"] == "ct-change"]


def test_from_the_panel_a_person_chooses_another_prior_and_both_results_stay(
    site: Site, compared: Compared, older: Study, page: Page, tmp_path: Path
) -> None:
    page.goto(f"{site.edge}/viewer/viewer?StudyInstanceUIDs={compared.today.study_instance_uid}")
    card = _panel(page, "Change of air in the lungs between two CTs (example)")
    status = card.get_by_role("status").first
    site.until(lambda: page.wait_for_timeout(200) or "Dec 31, 2025" in status.inner_text(), every=0)
    prior = card.get_by_role("combobox")
    offered = prior.get_by_role("option").all_inner_texts()
    assert len(offered) == 2
    assert "Dec 31, 2025" in offered[0] and "20 images (its rule takes this)" in offered[0]
    assert offered[1] == "Nov 1, 2025 · Chest of November · 22 images"
    prior.focus()
    page.keyboard.press("ArrowDown")
    card.get_by_role("button", name="Run again").click()
    site.until(lambda: page.wait_for_timeout(200) or "Chest of November" in status.inner_text(), every=0)
    page.screenshot(path=tmp_path / "panel.png")
    assert not card.get_by_text("Superseded results").is_visible()
    assert card.get_by_role("button", name="Show measurements").count() == 2
    _, chosen = _changes(site, compared.today)
    assert (chosen["supersedes"], chosen["inputs"][0]["chosen"]) == ("", True)
    assert chosen["inputs"][0]["series_instance_uid"] == older.series_instance_uid


def test_without_a_prior_the_panel_says_why_it_cannot_run(site: Site, older: Study, page: Page, tmp_path: Path) -> None:
    page.goto(f"{site.edge}/viewer/viewer?StudyInstanceUIDs={older.study_instance_uid}")
    card = _panel(page, "Change of air in the lungs between two CTs (example)")
    card.get_by_text("It cannot run yet: no prior (of an earlier study of the patient) is there").wait_for()
    card.get_by_role("button", name="Look again").scroll_into_view_if_needed()
    page.screenshot(path=tmp_path / "panel.png")
    assert card.get_by_role("button", name="Run", exact=True).is_disabled()


def test_plexus_run_tells_which_prior_it_took(site: Site, compared: Compared, older: Study) -> None:
    def command(study: Study) -> list[str]:
        return ["run", "ct-change", study.study_instance_uid, "--data", str(site.data)]

    told = CliRunner().invoke(app, command(compared.earlier))
    assert told.exit_code == 0, told.output
    assert f"prior: {older.series_instance_uid} (2025-11-01, Chest of November, 22 images), by its rule;" in told.output
    named = ["--input", f"prior={older.series_instance_uid}", "--json"]
    chosen = CliRunner().invoke(app, [*command(compared.today), *named])
    (job,) = json.loads(chosen.output)
    assert job["inputs"][0] == {
        "name": "prior",
        "study_instance_uid": older.study_instance_uid,
        "series_instance_uid": older.series_instance_uid,
        "chosen": True,
    }
