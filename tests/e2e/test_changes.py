"""What changes after it was stored, through the front door: conflicts, deletion, the feed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydicom import dcmread
from typer.testing import CliRunner

from services.launcher.cli import app
from tests.mesh import Site
from tests.studies import make_study


def test_the_feed_tells_of_every_instance_of_a_study(site: Site, sample_job: dict[str, Any]) -> None:
    last, told = 0, []
    while True:
        page = site.http.get("/dicom-web/changefeed", params={"since": last, "limit": 1000}).json()
        told += page["changes"]
        last = page["last"]
        if not page["more"]:
            break
    assert [each["sequence"] for each in told] == list(range(1, last + 1))
    assert site.http.get("/dicom-web/changefeed/latest").json()["last"] >= last
    instances = site.http.get(f"/dicom-web/studies/{sample_job['study_instance_uid']}/instances").json()
    here = {each["00080018"]["Value"][0] for each in instances}
    assert here
    assert here <= {each["SOPInstanceUID"] for each in told if each["state"] == "current"}


def test_deletion_is_off_unless_a_setting_allows_it(site: Site, sample_job: dict[str, Any]) -> None:
    study = f"/dicom-web/studies/{sample_job['study_instance_uid']}"
    reply = site.http.delete(study)
    assert (reply.status_code, reply.json()["code"]) == (403, "deletion-off")
    assert site.http.get(f"{study}/series").status_code == 200


def test_conflicts_can_be_listed(site: Site) -> None:
    reply = site.http.get("/conflicts")
    assert reply.status_code == 200
    assert isinstance(reply.json(), list)


def test_a_conflict_is_decided_from_the_command_line(site: Site, sample: Path, tmp_path: Path) -> None:
    data = ["--data", str(site.data)]
    first = make_study(sample, tmp_path / "first", seed="conflict", count=1, shrink=16)
    path = next(first.folder.glob("*.dcm"))
    assert site.storescu(path).returncode == 0
    ds = dcmread(path)
    ds.StudyDescription = "Another"
    ds.save_as(path)
    site.storescu(path)
    listed = site.http.get("/conflicts").json()
    digest = next(each["digest"] for each in listed if each["SOPInstanceUID"] == str(ds.SOPInstanceUID))
    run = CliRunner()
    assert digest[:12] in run.invoke(app, ["conflicts", "list", *data]).output
    saved = tmp_path / "saved.dcm"
    assert run.invoke(app, ["conflicts", "save", digest[:12], str(saved), *data]).exit_code == 0
    assert dcmread(saved).StudyDescription == "Another"
    assert run.invoke(app, ["conflicts", "accept", digest[:12], *data]).exit_code == 0
    asked = {"StudyInstanceUID": first.study_instance_uid, "StudyDescription": "another"}
    assert len(site.http.get("/dicom-web/studies", params=asked).json()) == 1  # it is found by what it says
    other = next(
        e["digest"] for e in site.http.get("/conflicts").json() if e["SOPInstanceUID"] == str(ds.SOPInstanceUID)
    )
    assert other != digest
    assert run.invoke(app, ["conflicts", "dismiss", other, *data]).exit_code == 0
    gone = run.invoke(app, ["conflicts", "dismiss", other, *data])
    assert gone.exit_code == 1 and "no conflicts" in gone.output
