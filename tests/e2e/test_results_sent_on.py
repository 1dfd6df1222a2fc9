"""Results of a job at a second DICOMweb store: another Plexus takes the place of the PACS."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import Dataset

from services.launcher import registry
from services.launcher.mesh import Mesh
from services.launcher.parts.service import Service
from services.launcher.settings import Settings, free_port
from tests.mesh import Site


@pytest.fixture(scope="module")
def pacs() -> Iterator[Site]:
    """A second mesh that only stores."""
    with tempfile.TemporaryDirectory(prefix="plexus-pacs-") as folder:
        parts = ("postgres", "nats", "ingest", "archive", "edge")
        with (
            Mesh(Settings.on_free_ports(Path(folder) / "data", parts=parts)) as mesh,
            httpx.Client(base_url=mesh.settings.url("edge"), timeout=60) as http,
        ):
            yield Site(mesh, http)


@pytest.fixture(scope="module")
def sending(site: Site, pacs: Site) -> Iterator[None]:
    """One more process of bridge beside the one of the mesh, which sends results on."""
    overrides = {
        "PLEXUS_BRIDGE_SEND_RESULTS": f"{pacs.edge}/dicom-web=SEG SR",
        "PLEXUS_BRIDGE_HTTP_PORT": str(free_port()),
        "PLEXUS_BRIDGE_DIMSE_PORT": str(free_port()),
    }
    own = site.mesh.settings
    settings = Settings(own.data, own.ports, overrides, own.parts)
    program = Service(registry.BY_NAME["bridge"], settings).prepare()
    with (own.logs / "bridge-sending.log").open("wb") as log:
        process = subprocess.Popen(program.argv, env=program.environment, stdout=log)
        yield
        process.terminate()
        assert process.wait(60) == 0


def _stored(site: Site, job: dict[str, Any]) -> dict[str, Dataset]:
    """The results of a job that a store has, by UID."""
    client, found = site.client(), {}
    for result in job["results"]:
        where = job["study_instance_uid"], result["series_instance_uid"]
        if client.search_for_series(where[0], search_filters={"SeriesInstanceUID": where[1]}):
            found.update({str(one.SOPInstanceUID): one for one in client.retrieve_series(*where)})
    return found


def test_results_land_at_a_second_dicomweb_store_and_sent_back_they_go_no_further(
    site: Site, pacs: Site, sending: None, sample_job: dict[str, Any]
) -> None:
    ours = _stored(site, sample_job)
    assert {one.Modality for one in ours.values()} == {"SEG", "SR"}
    site.until(lambda: len(_stored(pacs, sample_job)) == len(ours))
    assert _stored(pacs, sample_job) == ours
    study = sample_job["study_instance_uid"]
    assert {one["00080060"]["Value"][0] for one in pacs.client().search_for_series(study)} == {"SEG", "SR"}

    def transfers() -> list[dict[str, Any]]:
        found = site.http.get("/audit", params={"study": study, "action": "transfer-out", "limit": 100})
        records: list[dict[str, Any]] = found.raise_for_status().json()["records"]
        return [one for one in records if one["destination"] == f"{pacs.edge}/dicom-web"]

    site.until(lambda: any(one["job_id"] == sample_job["id"] for one in transfers()))
    jobs, sent = site.jobs(study), len(transfers())
    site.client().store_instances(list(_stored(pacs, sample_job).values()))
    assert site.jobs(study) == jobs
    assert len(transfers()) == sent
