"""A picture that may show text waits for a person, visibly, and goes on when it is released."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydicom import dcmread

from tests.mesh import Site
from tests.studies import Study


def test_a_job_waits_for_a_person_and_goes_on(site: Site, study: Study) -> None:
    first = sorted(study.folder.glob("*.dcm"))[0]
    ds = dcmread(first)
    ds.BurnedInAnnotation = "YES"
    ds.save_as(first)
    assert site.storescu(study.folder).returncode == 0

    def held() -> dict[str, Any] | None:
        jobs = [job for job in site.jobs(study.study_instance_uid) if job["step"] == "quarantine"]
        return jobs[0] if len(jobs) == 2 else None

    job = site.until(held)
    entries = site.http.get("/quarantine", params={"state": "waiting"}).raise_for_status().json()["entries"]
    (entry,) = [each for each in entries if job["id"] in each["jobs"]]
    preview = site.http.get(f"/quarantine/{entry['number']}/preview")
    assert preview.content.startswith(b"\x89PNG")
    assert not list((Path(site.data) / "work").rglob(f"{job['id']}/input/manifest.json"))

    released = site.http.post(f"/quarantine/{entry['number']}/release", json={"masks": [[0, 0, 4, 4]]})
    assert released.raise_for_status().json()["state"] == "released"
    for model in ("ct-lung", "ct-bone"):
        assert site.finished(study.study_instance_uid, model)["state"] == "completed"
