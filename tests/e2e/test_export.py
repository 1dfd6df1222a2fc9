"""`plexus export`: studies as files, as they are and de-identified."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydicom import dcmread
from rich.console import Console

from services.launcher.commands import export
from services.launcher.errors import LauncherError
from tests.mesh import Site
from tests.studies import make_study


def told(site: Site, study: str, folder: Path, *, deidentified: bool) -> tuple[int, str]:
    output = io.StringIO()
    code = export.run(Console(file=output, width=200), site.edge, [study], folder, deidentified=deidentified)
    return code, output.getvalue()


def exports(site: Site, study: str) -> list[dict[str, Any]]:
    """What the log says of the exports of a study, newest first: it is durable at once, and there soon."""
    while not (found := httpx.get(f"{site.edge}/audit?action=export&study={study}").json()["records"]):
        time.sleep(0.1)
    return found


def test_a_study_comes_out_as_it_went_in(site: Site, sample: Path, tmp_path: Path) -> None:
    study = make_study(sample, tmp_path / "study", seed="export", count=5, shrink=8)
    assert site.storescu(study.folder).returncode == 0
    code, output = told(site, study.study_instance_uid, tmp_path / "out", deidentified=False)
    assert (code, output) == (0, f"5 instances in {tmp_path / 'out'}\n")
    record, *_ = exports(site, study.study_instance_uid)
    assert (record["detail"], record["outcome"], record["instances"]) == ("stored", "success", 5)
    out = {path.stem: dcmread(path) for path in (tmp_path / "out").rglob("*.dcm")}
    for path in study.folder.glob("*.dcm"):
        ds = dcmread(path)
        assert out[str(ds.SOPInstanceUID)] == ds
    assert told(site, study.study_instance_uid, tmp_path / "out", deidentified=False)[0] == 0  # again is fine


def test_a_study_is_exported_under_pseudonyms_and_what_may_not_leave_is_counted(
    site: Site, sample_job: dict[str, Any], tmp_path: Path
) -> None:
    code, output = told(site, sample_job["study_instance_uid"], tmp_path, deidentified=True)
    files = [dcmread(path) for path in tmp_path.rglob("*.dcm")]
    assert len(files) == 100
    (record,) = exports(site, sample_job["study_instance_uid"])
    assert record["detail"] == "deidentified"
    assert {str(ds.PatientIdentityRemoved) for ds in files} == {"YES"}
    assert len({str(ds.StudyInstanceUID) for ds in files}) == len({str(ds.PatientID) for ds in files}) == 1
    assert sample_job["study_instance_uid"] not in {str(ds.StudyInstanceUID) for ds in files}
    # The results of the models are in the study too, and no volumes: they stay, and that is said.
    assert code == 1 and "left out" in output


def test_a_study_that_is_not_there_is_told_so(site: Site, tmp_path: Path) -> None:
    with pytest.raises(LauncherError, match="there is no study"):
        told(site, "2.25.4711", tmp_path, deidentified=True)
