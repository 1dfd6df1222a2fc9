"""The log of accesses, as a privacy officer uses it: who saw this patient, and is that all of it?

A mesh of its own, without models: what is done to its log here would be in the way of others.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from pydicom import dcmread
from typer.testing import CliRunner

from services.launcher import secrets
from services.launcher.cli import app
from services.launcher.mesh import Mesh
from services.launcher.settings import Settings
from tests.mesh import Site

PARTS = ("postgres", "nats", "ingest", "archive", "audit", "edge")


@pytest.fixture(scope="module")
def hospital() -> Iterator[Site]:
    """The hospital zone's front door, archive and log."""
    with tempfile.TemporaryDirectory(prefix="plexus-e2e-log-") as folder:
        mesh = Mesh(Settings.on_free_ports(Path(folder), parts=PARTS))
        mesh.up()
        try:
            with httpx.Client(base_url=mesh.settings.url("edge"), timeout=60) as http:
                yield Site(mesh, http)
        finally:
            mesh.down()


@pytest.fixture(scope="module")
def seen(hospital: Site, sample: Path) -> tuple[str, str]:
    """A patient's study that was stored, searched and read: its UID, and the Patient ID."""
    files = [dcmread(path) for path in sorted(sample.glob("*.dcm"))[:3]]
    study = str(files[0].StudyInstanceUID)
    hospital.client().store_instances(files)
    hospital.client().search_for_series(study)
    hospital.client().retrieve_study(study)
    for action in ("store", "query", "retrieve"):
        hospital.until(partial(records, hospital, study=study, action=action))
    return study, str(files[0].PatientID)


def records(hospital: Site, **asked: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = hospital.http.get("/audit", params=asked).raise_for_status().json()["records"]
    return found


def plexus(*arguments: str | Path) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["audit", *map(str, arguments)])
    return done.exit_code, done.output


def test_who_saw_a_patient_is_answered_in_every_form(hospital: Site, seen: tuple[str, str]) -> None:
    study, patient = seen
    found = records(hospital, patient=patient, action="retrieve")
    assert {record["study_instance_uid"] for record in found} == {study}
    assert patient not in json.dumps(found)  # the log holds references; whose they are, the archive says
    asked = {"patient": patient, "action": "retrieve"}
    fhir = hospital.http.get("/audit", params={**asked, "format": "fhir"}).json()
    people = [entity for entry in fhir["entry"] for entity in entry["resource"]["entity"]]
    assert {each["what"]["identifier"]["value"] for each in people if each["type"]["code"] == "1"} == {patient}
    dicom = hospital.http.get("/audit", params=asked, headers={"Accept": "application/dicom-audit+xml"})
    assert f'ParticipantObjectID="{patient}"' in dicom.text
    assert records(hospital, patient="nobody at all") == []
    assert {record["detail"] for record in records(hospital, study=study, action="audit-read")} >= {"patient"}


def test_the_log_of_the_mesh_holds_and_a_record_of_it_can_be_proved(
    hospital: Site, seen: tuple[str, str], tmp_path: Path
) -> None:
    data = ("--data", hospital.data)
    key = plexus("key", *data)[1].strip()
    code, told = plexus("verify", "--key", key, *data)
    assert (code, "The log holds" in told) == (0, True), told
    (record, *_) = records(hospital, study=seen[0], action="store")
    assert plexus("prove", record["record_id"], "-o", tmp_path / "proof", *data)[0] == 0
    code, told = plexus("check", tmp_path / "proof", "--key", key)
    assert (code, record["record_id"] in told) == (0, True), told


async def test_the_last_record_deleted_and_everything_put_back_is_shown_by_the_witness(
    hospital: Site, seen: tuple[str, str], tmp_path: Path
) -> None:
    settings = hospital.mesh.settings
    password = secrets.passwords(settings.secrets)["postgres_audit"]
    owner = await asyncpg.connect(f"postgresql://audit:{password}@{settings.address('postgres')}/plexus")
    url = f"{hospital.edge}/audit"
    key = plexus("key", "--url", url)[1].strip()
    assert plexus("verify", "--url", url, "--key", key)[0] == 0  # what is there now is signed, and lies in tiles
    hospital.until(lambda: int(httpx.get(f"{url}/checkpoint").text.split("\n")[1]) > 1)
    async with owner.transaction(isolation="repeatable_read"):
        size = await owner.fetchval("SELECT size FROM tree")
        frontier, note = await owner.fetchval("SELECT frontier FROM tree"), None
        while note is None or int(note.split("\n")[1]) < size:
            note = httpx.get(f"{url}/checkpoint").text
        shutil.copytree(hospital.data / "audit", tmp_path / "before")
    before = (tmp_path / "before" / "checkpoint").read_text()
    assert int(before.split("\n")[1]) == size

    records(hospital, study=seen[0])  # the record that somebody will want to be gone
    hospital.until(lambda: int(httpx.get(f"{url}/checkpoint").text.split("\n")[1]) > size)
    witness = ("witness", "--url", url, "--key", key, "--folder", tmp_path / "w", "--name", "second.example")
    code, told = plexus(*witness)
    assert code == 0, told

    await owner.execute("ALTER TABLE records DISABLE TRIGGER append_only")
    await owner.execute("DELETE FROM records WHERE seq > $1", size)
    await owner.execute("ALTER TABLE records ENABLE ALWAYS TRIGGER append_only")
    await owner.execute("UPDATE tree SET size = $1, frontier = $2", size, frontier)
    await owner.execute("UPDATE checkpoint SET note = $1", before)
    await owner.close()
    shutil.rmtree(hospital.data / "audit")
    shutil.copytree(tmp_path / "before", hospital.data / "audit")

    code, told = plexus(*witness)
    assert (code, "Not signed" in told) == (3, True), told
    code, told = plexus("verify", "--url", url, "--key", key, "--since", tmp_path / "w" / "checkpoint")
    assert (code, "The log does not hold" in told) == (3, True), told


def test_the_log_is_listed_for_a_person(hospital: Site, seen: tuple[str, str]) -> None:
    told = CliRunner().invoke(app, ["audit", "list", "--study", seen[0], "--data", str(hospital.data)])
    assert told.exit_code == 0, told.output
    assert seen[0] in told.output
    assert "retrieve" in told.output and "local" in told.output
    as_json = CliRunner().invoke(app, ["audit", "list", "--format", "json", "--data", str(hospital.data)])
    assert json.loads(as_json.output)
