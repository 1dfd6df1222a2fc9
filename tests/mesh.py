"""A whole mesh for the tests of e2e and telemetry, and a way to send to it as a scanner does."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from dicomweb_client import DICOMwebClient

from services.launcher.mesh import Mesh
from services.launcher.settings import Settings
from tests.documents import examples
from tests.studies import Study, make_study

_PATIENCE_SECONDS = 300
"""For a job on a machine that is busy with other things: a hang is a failure, slowness is not."""


@dataclass(frozen=True)
class Site:
    """The mesh under test, from outside."""

    mesh: Mesh
    http: httpx.Client
    tls_port: int = 0
    """Where DIMSE is spoken with TLS, to peers that show a certificate."""

    @property
    def certificates(self) -> Path:
        """The folder with what docs/operations.md makes for TLS."""
        return self.data.parent

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.mesh.settings.data

    @property
    def edge(self) -> str:
        """The address that users know."""
        return self.mesh.settings.url("edge")

    def client(self) -> DICOMwebClient:
        """A DICOMweb client of somebody else's making."""
        return DICOMwebClient(f"{self.edge}/dicom-web")

    def storescu(self, *paths: Path) -> subprocess.CompletedProcess[str]:
        """Send by DCMTK's storescu, whatever the transfer syntax of the files is."""
        return subprocess.run(
            ["storescu", "-v", "-R", "-xt" if _is_jpegls(paths[0]) else "-x=", "-aec", "PLEXUS", "+sd", "+r",
             "127.0.0.1", str(self.mesh.settings.ports["dimse"]), *map(str, paths)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def jobs(self, study: str) -> list[dict[str, Any]]:
        """The jobs of a study, as the worklist tells."""
        reply = self.http.get("/jobs", params={"study": study})
        reply.raise_for_status()
        jobs: list[dict[str, Any]] = reply.json()["jobs"]
        return jobs

    def until(self, what: Callable[[], Any], *, every: float = 0.2) -> Any:
        """What `what` gives as soon as it is true."""
        until = time.monotonic() + _PATIENCE_SECONDS
        while not (found := what()):
            assert time.monotonic() < until, "it never came"
            time.sleep(every)
        return found

    def finished(self, study: str, model: str = "ct-lung") -> dict[str, Any]:
        """The job of `model` on a study, once it is finished."""

        def job() -> dict[str, Any] | None:
            ended = [j for j in self.jobs(study) if j["model"] == model and j["finished_at"]]
            return ended[0] if ended else None

        found: dict[str, Any] = self.until(job)
        return found


def _is_jpegls(path: Path) -> bool:
    from pydicom import dcmread

    first = path if path.is_file() else next(iter(sorted(path.glob("*.dcm"))))
    return str(dcmread(first, stop_before_pixels=True).file_meta.TransferSyntaxUID).startswith("1.2.840.10008.1.2.4.8")


def _secured(folder: Path, port: int) -> dict[str, str]:
    """Make certificates and settings for TLS, as docs/operations.md prints it."""
    (example,) = examples("docs/operations.md", "openssl")
    script = example.replace("2762", str(port)).replace("./plexus up", "env")
    done = subprocess.run(["bash", "-euc", script], cwd=folder, capture_output=True, text=True, check=True)
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if line.startswith("PLEXUS_BRIDGE_"))


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """One mesh for the session, as `plexus up` makes it, on free ports, in a folder of its own."""
    from services.launcher.settings import free_port  # late: it takes in this module

    with tempfile.TemporaryDirectory(prefix="plexus-e2e-") as folder:
        tls_port = free_port()
        mesh = Mesh(Settings.on_free_ports(Path(folder) / "data", **_secured(Path(folder), tls_port)))
        mesh.up()
        try:
            with httpx.Client(base_url=mesh.settings.url("edge"), timeout=60) as http:
                yield Site(mesh, http, tls_port)
        finally:
            mesh.down()


@pytest.fixture
def study(sample: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Study:
    """A study of this test's own, with PHI planted."""
    return make_study(sample, tmp_path / "study", seed=request.node.nodeid)


@pytest.fixture(scope="session")
def sample_job(site: Site, sample: Path) -> dict[str, Any]:
    """The job of ct-lung on the sample, which storescu has sent and which is completed."""
    sent = site.storescu(sample)
    assert sent.returncode == 0, sent.stderr
    from pydicom import dcmread

    first = dcmread(next(iter(sorted(sample.glob("*.dcm")))), stop_before_pixels=True)
    job = site.finished(str(first.StudyInstanceUID))
    assert job["state"] == "completed", job
    return job
