"""A candidate runs beside the active version of a whole mesh: known differences come back, and nothing else does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from services.launcher.authoring import template
from services.launcher.cli import app
from services.launcher.commands.models import Catalogue
from tests.mesh import Site
from tests.studies import Study, make_study

NAME = "shadow-ct"
THROWS = "assert len(volume) == 24, 'no such chest'; "


def package(folder: Path, version: str, threshold: int, *, code: str = "") -> Path:
    """A version that marks what is above a threshold, on request alone: the mesh is not ours."""
    made = folder / version / NAME
    template.write(made)
    card, model = made / "model.yaml", made / "triton" / "1" / "model.py"
    card.write_text(card.read_text().replace('"0.1.0"', f'"{version}"') + "automatic: false\n")
    model.write_text(model.read_text().replace("300", str(threshold)).replace("labels = (v", f"{code}labels = (v"))
    return made


def voxels(study: Study, threshold: int) -> tuple[int, float]:
    """How many voxels lie above a threshold, and how many millilitres each has."""
    slices = [dcmread(path) for path in study.folder.glob("*.dcm")]
    places = sorted(float(ds.ImagePositionPatient[2]) for ds in slices)
    millilitres = float(np.prod(slices[0].PixelSpacing)) * (places[-1] - places[0]) / (len(slices) - 1) / 1000
    hounsfield = [ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept) for ds in slices]
    return sum(int((plane > threshold).sum()) for plane in hounsfield), millilitres


@pytest.fixture(scope="module")
def catalogue(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """1.0.0 is active; 2.0.0, stricter, and 3.0.0, which throws on what is no test case, have passed their checks."""
    folder, made = tmp_path_factory.mktemp("shadow"), Catalogue(site.edge)
    for version, threshold, code in (("1.0.0", 200, ""), ("2.0.0", 300, ""), ("3.0.0", 200, THROWS)):
        assert made.checked(package(folder, version, threshold, code=code))["state"] == "validated"
    made.move(NAME, "1.0.0", "publish")
    made.move(NAME, "1.0.0", "activate")
    yield made


def command(site: Site, *arguments: str) -> str:
    done = CliRunner().invoke(app, ["model", "shadow", NAME, *arguments, "--data", str(site.data)])
    assert done.exit_code == 0, done.output
    return done.output


def run(site: Site, study: Study) -> dict[str, Any]:
    """The active version on a study, once it is completed."""
    wish = {"model": NAME, "study": study.study_instance_uid, "series": study.series_instance_uid, "force": True}
    (job,) = site.http.post("/jobs", json=wish).raise_for_status().json()["jobs"]
    ended: dict[str, Any] = site.until(
        lambda: (found := site.http.get(f"/jobs/{job['id']}").json())["finished_at"] and found
    )
    assert ended["state"] == "completed", ended
    return ended


def report(site: Site, runs: int) -> dict[str, Any]:
    """The report, once it is of so many runs."""
    found: dict[str, Any] = site.until(
        lambda: (told := json.loads(command(site, "--json")))["runs"] >= runs and told, every=0.5
    )
    assert found["runs"] == runs
    return found


def stored(site: Site, study: Study) -> set[str]:
    found = site.client().search_for_instances(study.study_instance_uid)
    return {each["00080018"]["Value"][0] for each in found} - set(study.sop_instance_uids)


def named(*jobs: dict[str, Any]) -> set[str]:
    return {result["sop_instance_uid"] for job in jobs for result in job["results"]}


def test_a_shadow_is_compared_leaves_nothing_behind_and_harms_nobody(
    site: Site, catalogue: Catalogue, sample: Path, tmp_path: Path
) -> None:
    studies = [
        make_study(sample, tmp_path / str(shrink), seed=f"shadow {shrink}", shrink=shrink, count=10)
        for shrink in (8, 4)
    ]
    for study in studies:
        assert site.storescu(study.folder).returncode == 0
        site.until(lambda study=study: site.client().search_for_series(study.study_instance_uid))
    assert "2.0.0 runs beside 1.0.0" in command(site, "2.0.0")
    jobs = [run(site, study) for study in studies]
    found = report(site, 2)

    counts = [(*voxels(study, 200), voxels(study, 300)[0]) for study in studies]
    dices = [2 * fewer / (more + fewer) for more, _, fewer in counts]
    differences = [(fewer - more) * millilitres for more, millilitres, fewer in counts]
    (label,), (volume,) = found["labels"], found["measurements"]
    assert (label["name"], label["n"], label["median"]) == ("Bright", 2, pytest.approx(mean(dices)))
    assert (label["worst"], label["worst_job"]) == (
        pytest.approx(min(dices)),
        jobs[dices.index(min(dices))]["id"],
    )
    assert (volume["name"], volume["unit"], volume["n"]) == ("Bright volume", "mL", 2)
    assert volume["bias"] == pytest.approx(mean(differences), rel=1e-4)
    assert volume["low_limit"] == pytest.approx(mean(differences) - 1.96 * stdev(differences), rel=1e-4)
    assert found["running"] and not found["failures"] and found["seconds"]["candidate_most"] > 0
    assert jobs[0]["id"] in command(site) or jobs[1]["id"] in command(site)

    # One that throws, in its place: the active version's job is as it was.
    assert "3.0.0 runs beside 1.0.0" in command(site, "3.0.0")
    third = run(site, studies[0])
    failed = report(site, 1)
    assert (failed["candidate"], failed["failures"], failed["labels"]) == ("3.0.0", {"model-failed": 1}, [])
    assert "no such chest" in failed["last_failures"][0]["reason"]
    assert failed["last_failures"][0]["job_id"] == third["id"]
    assert "no such chest" in command(site)

    # No instance, no job and no work item is a shadow's: what there is, the active version has made.
    assert (third["model_version"], third["shadow"]) == ("1.0.0", "3.0.0")
    assert stored(site, studies[0]) == named(jobs[0], third)
    assert stored(site, studies[1]) == named(jobs[1])
    assert {job["model_version"] for study in studies for job in site.jobs(study.study_instance_uid)} == {"1.0.0"}
    assert not [path.name for path in (site.data / "work" / "jobs" / third["id"]).iterdir() if "shadow" in path.name]

    command(site, "--stop")
    assert not report(site, 1)["running"]
    assert run(site, studies[1])["shadow"] == ""
    changes = catalogue.ask("GET", f"/models/{NAME}/changes").json()["changes"]
    assert [(one["what"], one["version"]) for one in changes[:4]] == [
        ("shadow-ended", "3.0.0"),
        ("shadow-ended", "2.0.0"),
        ("shadow-begun", "3.0.0"),
        ("shadow-begun", "2.0.0"),
    ]
