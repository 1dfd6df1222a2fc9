"""Results of a job at a second DICOMweb store: another Plexus takes the place of the PACS."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset, dcmread

from services.launcher import registry
from services.launcher.mesh import Mesh
from services.launcher.parts.service import Service
from services.launcher.settings import Settings, free_port
from tests.mesh import Site


@pytest.fixture(scope="module")
def pacs() -> Iterator[Mesh]:
    """A second mesh that only stores."""
    with tempfile.TemporaryDirectory(prefix="plexus-pacs-") as folder:
        settings = Settings.on_free_ports(Path(folder) / "data", parts=("postgres", "nats", "ingest"))
        with Mesh(settings) as mesh:
            yield mesh


def _root(pacs: Mesh) -> str:
    return f"{pacs.settings.url('ingest')}/dicom-web"


@pytest.fixture(scope="module")
def sending(site: Site, pacs: Mesh) -> Iterator[None]:
    """One more process of bridge beside the one of the mesh, which sends results on."""
    overrides = {
        "PLEXUS_BRIDGE_SEND_RESULTS": f"{_root(pacs)}=SEG SR",
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


def _stored(pacs: Mesh) -> dict[str, Dataset]:
    """What the second store has, by the digest of its bytes."""
    objects = pacs.settings.data / "objects"
    return {path.name: dcmread(path) for path in objects.rglob("*") if path.is_file() and len(path.name) >= 60}


def test_results_land_at_a_second_dicomweb_store_and_sent_back_they_go_no_further(
    site: Site, pacs: Mesh, sending: None, sample_job: dict[str, Any]
) -> None:
    study, series = sample_job["study_instance_uid"], {one["series_instance_uid"] for one in sample_job["results"]}

    def arrived() -> list[Dataset]:
        return [one for one in _stored(pacs).values() if one.SeriesInstanceUID in series]

    site.until(lambda: len(arrived()) == len(sample_job["results"]))
    assert {one.Modality for one in arrived()} == {"SEG", "SR"}
    for one in arrived():
        (ours,) = site.client().retrieve_series(study, one.SeriesInstanceUID)
        assert one == ours
    assert {one.Modality for one in _stored(pacs).values()} == {"SEG", "SR"}  # and nothing else of the study

    def transfers() -> list[dict[str, Any]]:
        found = site.http.get("/audit", params={"study": study, "action": "transfer-out", "limit": 100})
        records: list[dict[str, Any]] = found.raise_for_status().json()["records"]
        return [one for one in records if one["destination"] == _root(pacs)]

    site.until(lambda: any(one["job_id"] == sample_job["id"] for one in transfers()))

    def latest() -> Any:
        return site.http.get("/dicom-web/changefeed/latest").raise_for_status().json()

    before = latest()
    site.client().store_instances(arrived())
    assert latest() == before  # nothing came that anybody would be told of
