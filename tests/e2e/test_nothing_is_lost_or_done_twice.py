"""kill -9 in the middle of a job: after the restart the job completes once, with one SEG and one SR."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from tests.mesh import Site
from tests.studies import Study


def _state(site: Site, study: str) -> dict[str, Any] | None:
    return next((job for job in site.jobs(study) if job["model"] == "ct-lung"), None)


@pytest.mark.parametrize(
    ("service", "moment"),
    [("inference", {"state": "released", "step": "infer"}), ("encode", {"state": "inferred"})],
)
def test_a_service_killed_in_the_middle_of_a_job_does_it_once_after_its_restart(
    site: Site, study: Study, service: str, moment: dict[str, str]
) -> None:
    assert site.storescu(study.folder).returncode == 0

    def in_the_middle() -> bool:
        job = _state(site, study.study_instance_uid)
        return job is not None and all(job[key] == value for key, value in moment.items())

    site.until(in_the_middle, every=0.02)
    killed = site.mesh.pid(service)
    os.kill(killed, signal.SIGKILL)

    job = site.finished(study.study_instance_uid)
    assert job["state"] == "completed", job
    assert site.until(lambda: (pid := site.mesh.pid(service)) and pid != killed)
    client = site.client()
    series = client.search_for_series(study.study_instance_uid)
    of_lung = {result["series_instance_uid"] for result in job["results"]}
    found = [item["00080060"]["Value"][0] for item in series if item["0020000E"]["Value"][0] in of_lung]
    assert sorted(found) == ["SEG", "SR"]
    site.finished(study.study_instance_uid, "ct-bone")
    every = [item["00080060"]["Value"][0] for item in client.search_for_series(study.study_instance_uid)]
    assert sorted(every) == ["CT", "SEG", "SEG", "SR", "SR"]


def test_a_late_slice_makes_a_new_revision_whose_result_names_the_one_that_it_replaces(
    site: Site, study: Study
) -> None:
    paths = sorted(study.folder.glob("*.dcm"))
    assert site.storescu(*paths[:-1]).returncode == 0
    first = site.finished(study.study_instance_uid)
    assert site.storescu(paths[-1]).returncode == 0

    def second() -> dict[str, Any] | None:
        jobs = [
            job for job in site.jobs(study.study_instance_uid) if job["model"] == "ct-lung" and job["revision"] == 2
        ]
        return jobs[0] if jobs and jobs[0]["finished_at"] else None

    job = site.until(second)
    assert job["state"] == "completed", job
    assert job["supersedes"] == first["id"]
