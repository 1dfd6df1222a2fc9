"""The worklist of a whole mesh, through the edge: a performer outside, and a person who asks for a run."""

from __future__ import annotations

import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

from rich.console import Console

from services.launcher.commands import running
from services.launcher.edge import Edge
from tests.integration.ups_client import attribute, coded, workitem
from tests.mesh import Site

PERFORMER = Path(__file__).resolve().parents[2] / "examples" / "performer" / "performer.py"


def test_a_performer_outside_claims_a_work_item_reads_stores_and_completes(
    site: Site, sample_job: dict[str, Any]
) -> None:
    study, series, model = sample_job["study_instance_uid"], sample_job["series_instance_uid"], f"B-{uuid4().hex[:8]}"
    retrieve = f"{site.edge}/dicom-web/studies/{study}/series/{series}"
    source = {
        "0020000D": attribute("UI", study),
        "0020000E": attribute("UI", series),
        "0040E025": attribute("SQ", {"00081190": attribute("UR", retrieve)}),
    }
    given = workitem(
        t00404018=attribute("SQ", coded(model, "Brightness", "99EXAMPLE")),
        t00404021=attribute("SQ", source),
        t0020000D=attribute("UI", study),
    )
    made = site.http.post(
        f"/dicom-web/workitems?workitem=2.25.{uuid4().int}",
        content=json.dumps([given]),
        headers={"content-type": "application/dicom+json"},
    )
    assert made.status_code == 201, made.text
    assert made.headers["location"].startswith(f"{site.edge}/dicom-web/workitems/")
    performer = subprocess.run(
        [sys.executable, PERFORMER, site.edge, model, "--once"], capture_output=True, text=True, check=False
    )
    assert performer.stdout.endswith("COMPLETED\n"), performer.stdout + performer.stderr
    path = made.headers["location"].removeprefix(site.edge)
    (item,) = site.http.get(path, headers={"accept": "application/dicom+json"}).json()
    assert item["00741000"]["Value"] == ["COMPLETED"]
    (output,) = item["00741216"]["Value"][0]["00404033"]["Value"]
    report = output["00081199"]["Value"][0]["00081155"]["Value"][0]
    found = site.client().search_for_instances(study, search_filters={"SOPInstanceUID": report})
    assert [each["00080018"]["Value"] for each in found] == [[report]]


def test_a_person_asks_for_a_run_follows_it_and_sees_the_result(site: Site, sample_job: dict[str, Any]) -> None:
    shown = StringIO()
    console = Console(file=shown, width=200)
    study, series = sample_job["study_instance_uid"], sample_job["series_instance_uid"]
    with Edge(site.edge) as edge:
        assert running.run(console, edge, "ct-lung", study) == 0
        assert f"{sample_job['id']} was made before" in shown.getvalue()
        assert running.run(console, edge, "ct-lung", study, series=series, priority="stat", force=True) == 0
    newest = site.jobs(study)[0]
    assert (newest["model"], newest["priority"], newest["state"]) == ("ct-lung", "HIGH", "completed")
    assert newest["results"][0]["sop_instance_uid"] in shown.getvalue()
    assert "ct-lung released: assemble" in shown.getvalue()
    items = site.http.get(
        "/workitems",
        params={"InputInformationSequence.SeriesInstanceUID": series, "ProcedureStepState": "COMPLETED"},
        headers={"accept": "application/dicom+json"},
    ).json()
    assert [item["00404018"]["Value"][0]["00080100"]["Value"] for item in items].count(["ct-lung"]) == 2


def test_a_work_item_that_is_cancelled_stops_what_works_on_it(site: Site, sample_job: dict[str, Any]) -> None:
    study, series = sample_job["study_instance_uid"], sample_job["series_instance_uid"]
    wish = {"model": "ct-lung", "study": study, "series": series, "force": True}
    (job,) = site.http.post("/jobs", json=wish).json()["jobs"]
    site.until(lambda: site.http.get(f"/jobs/{job['id']}").json()["state"] == "released", every=0.05)
    asked = {"InputInformationSequence.SeriesInstanceUID": series, "ProcedureStepState": "IN PROGRESS"}
    (item,) = site.http.get("/workitems", params=asked, headers={"accept": "application/dicom+json"}).json()
    uid = item["00080018"]["Value"][0]
    assert site.http.post(f"/workitems/{uid}/cancelrequest").status_code == 202
    (item,) = site.http.get(f"/workitems/{uid}", headers={"accept": "application/dicom+json"}).json()
    assert item["00741000"]["Value"] == ["CANCELED"]

    def stopped() -> bool:
        """Whoever had it in hand, or came to it later, let it be."""
        logs = [(site.data / "logs" / f"{part}.log").read_text() for part in ("inference", "encode")]
        return any('"job.stopped"' in line and job["id"] in line for log in logs for line in log.splitlines())

    site.until(stopped)
    after = site.http.get(f"/jobs/{job['id']}").json()
    assert (after["state"], after["results"]) == ("cancelled", [])
