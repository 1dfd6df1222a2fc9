"""Quarantine of the service as its own process: a job waits, a person decides, the job goes on or fails.

The pictures say that text is burned in, and show none that could be read: with the text reader they are doubtful
because nothing was found, without it because nobody could look. Either way a person has to.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pydicom
import pytest
from PIL import Image
from rich.console import Console
from typer.testing import CliRunner

from services.contracts import subjects
from services.contracts.events import AuditRecorded, JobCancelled, JobFailed, JobProgressed, JobReleased, JobRequested
from services.launcher.commands import quarantine as command_line
from services.launcher.errors import LauncherError
from tests.integration.test_anonymise import Archive, Place, archive_port, archived, place  # noqa: F401
from tests.unit.anonymise.planted import COLUMNS, ROWS, ct, element, part10

_STORED = element(0x00280101, "US", b"\x10\0")
_SAID = (element(0x00280301, "CS", b"YES"), element(0x00080008, "CS", b"DERIVED\\SECONDARY\\AXIAL"))


def pixels(number: int) -> bytes:
    return np.full((ROWS, COLUMNS), number, "<u2").tobytes()


def series(*, doubtful: int, clean: int) -> list[bytes]:
    made = []
    for number in range(doubtful + clean):
        own = element(0x00080018, "UI", f"1.2.3.9.{number}".encode())
        marks = _SAID if number < doubtful else ()
        made.append(part10(ct(own, _STORED, *marks, pixels=element(0x7FE00010, "OW", pixels(number + 1)))))
    return made


@dataclass
class Waiting:
    """A job of a series that waits in quarantine."""

    place: Place
    archive: Archive
    requested: JobRequested
    http: httpx.AsyncClient
    process: asyncio.subprocess.Process

    async def entries(self, state: str = "waiting") -> list[dict[str, Any]]:
        return list((await self.http.get("/quarantine", params={"state": state})).json()["entries"])

    async def released(self) -> list[pydicom.FileDataset]:
        """The files that were let out in the end."""
        told = JobReleased.from_bytes(await self.place.heard(subjects.JOB_RELEASED, self.requested.job_id))
        manifest = self.place.work / told.input
        lines = json.loads(manifest.read_bytes())["instances"]
        return [pydicom.dcmread(manifest.parent / line["file"]) for line in lines]


@asynccontextmanager
async def waiting(place: Place, port: int, files: list[bytes]) -> AsyncIterator[Waiting]:  # noqa: F811
    progress: asyncio.Queue[bytes] = asyncio.Queue()
    async with (
        archived(port, files) as archive,
        place.running() as process,
        httpx.AsyncClient(base_url=place.http, timeout=60) as http,
    ):
        await place.bus.overhear(subjects.JOB_PROGRESSED, progress.put)
        requested = archive.request()
        await place.bus.say(requested)
        job = Waiting(place, archive, requested, http, process)
        while True:
            told = JobProgressed.from_bytes(await asyncio.wait_for(progress.get(), 60))
            if told.job_id == requested.job_id and told.step == "quarantine":
                break
        yield job


async def test_a_job_waits_and_goes_on_when_all_its_doubtful_pictures_are_released(
    place: Place,  # noqa: F811
    archive_port: int,  # noqa: F811
) -> None:
    async with waiting(place, archive_port, series(doubtful=2, clean=1)) as job:
        first, second = await job.entries()
        assert first["jobs"] == [job.requested.job_id]
        assert first["doubt"] in ("said-but-not-found", "no-reader") and first["reason"]
        assert "burned-in-annotation" in first["grounds"]
        assert not list(place.work.rglob("manifest.json"))

        answer = await job.http.post(f"/quarantine/{first['number']}/release", json={"masks": [[0, 0, COLUMNS, 2]]})
        assert answer.json()["state"] == "released" and answer.json()["decided_by"] == "local"
        assert not list(place.work.rglob("manifest.json"))
        await job.http.post(f"/quarantine/{second['number']}/release", json={"masks": []})

        files = await job.released()
        by_value = {int(ds.pixel_array[-1, -1]): ds for ds in files}
        assert sorted(by_value) == [1, 2, 3]
        for value, ds in by_value.items():
            assert np.array_equal(ds.pixel_array[2:], np.full((ROWS - 2, COLUMNS), value))
            codes = [item.CodeValue for item in ds.DeidentificationMethodCodeSequence]
            assert ("113101" in codes) is (value != 3)
            assert ds.get("BurnedInAnnotation", "") == ("" if value == 3 else "NO")
        masked = by_value[1 if first["sop_instance_uid"] == "1.2.3.9.0" else 2]
        assert len(np.unique(masked.pixel_array[:2])) == 1
        assert await job.entries() == []

        records = [AuditRecorded.from_bytes(await place.heard(subjects.AUDIT_RECORDED, "quarantine-released"))]
        assert (records[0].action, records[0].outcome, records[0].caller) == ("deidentify", "success", "local")

    assert "1.2.3.9" not in place.log and "Doe" not in place.log


async def test_a_refused_picture_fails_the_job_and_every_later_one_with_a_reason(
    place: Place,  # noqa: F811
    archive_port: int,  # noqa: F811
) -> None:
    async with waiting(place, archive_port, series(doubtful=1, clean=1)) as job:
        (entry,) = [one for one in await job.entries() if job.requested.job_id in one["jobs"]]
        job.process.kill()
        await job.process.wait()
        async with place.running():  # what waits is not forgotten
            await job.http.post(f"/quarantine/{entry['number']}/refuse")
            await goes_by_the_last_word(job, int(entry["number"]))


async def goes_by_the_last_word(job: Waiting, number: int) -> None:
    """The job that waited fails, and later ones as long as nobody decides otherwise."""
    place = job.place  # noqa: F811
    failed = JobFailed.from_bytes(await place.heard(subjects.JOB_FAILED, job.requested.job_id))
    assert (failed.step, failed.reason_code) == ("quarantine", "refused-in-quarantine")
    assert "a person looked" in failed.reason

    again = job.archive.request()
    await place.bus.say(again)
    failed = JobFailed.from_bytes(await place.heard(subjects.JOB_FAILED, again.job_id))
    assert failed.reason_code == "refused-in-quarantine"
    assert not list(place.work.rglob("manifest.json"))
    # People may think again: later jobs go by what was said last.
    await job.http.post(f"/quarantine/{number}/release", json={"masks": []})
    third = job.archive.request()
    await place.bus.say(third)
    await place.heard(subjects.JOB_RELEASED, third.job_id)


async def test_a_cancelled_job_waits_no_longer_and_its_pictures_are_kept_as_withdrawn(
    place: Place,  # noqa: F811
    archive_port: int,  # noqa: F811
) -> None:
    files = [part10(ct(*_SAID, pixels=element(0x7FE00010, "OW", hashlib.sha512(b"cancelled").digest() * 2)))]
    async with waiting(place, archive_port, files) as job:
        (entry,) = [one for one in await job.entries() if job.requested.job_id in one["jobs"]]
        other = job.archive.request()
        await place.bus.say(other)
        while len((await one_of(job, entry["number"]))["jobs"]) < 2:
            await asyncio.sleep(0.05)
        await place.bus.say(JobCancelled(job.requested.job_id))
        while (still := await one_of(job, entry["number"]))["jobs"] != [other.job_id]:
            await asyncio.sleep(0.05)
        assert still["state"] == "waiting"  # another one does
        await place.bus.say(JobCancelled(other.job_id))
        while (gone := await one_of(job, entry["number"]))["state"] != "withdrawn":
            await asyncio.sleep(0.05)
        assert gone["jobs"] == [] and gone["decided_by"] == "" and gone["decided_at"]
        await place.bus.say(other)  # heard late: it never waits again
        third = job.archive.request()
        await place.bus.say(third)
        while (again := await one_of(job, entry["number"]))["state"] != "waiting":
            await asyncio.sleep(0.05)
        assert again["jobs"] == [third.job_id] and again["decided_at"] is None


async def one_of(job: Waiting, number: int) -> dict[str, Any]:
    entries = (await job.http.get("/quarantine")).json()["entries"]
    return next(entry for entry in entries if entry["number"] == number)


async def test_the_command_line_lists_shows_and_releases(
    place: Place,  # noqa: F811
    archive_port: int,  # noqa: F811
    tmp_path: Path,
) -> None:
    files = [part10(ct(*_SAID, pixels=element(0x7FE00010, "OW", hashlib.sha512(b"own").digest() * 2)))]
    async with waiting(place, archive_port, files) as job:
        entry = next(one for one in await job.entries() if job.requested.job_id in one["jobs"])
        number, image = str(entry["number"]), tmp_path / "look.png"
        mesh = SimpleNamespace(url=lambda port: {"anonymise": place.http}[port])
        console = Console(width=200, file=io.StringIO())
        app = command_line.commands(lambda function: function, lambda *_: mesh, console)  # type: ignore[arg-type, return-value]

        async def run(*arguments: str) -> Any:
            return await asyncio.to_thread(CliRunner().invoke, app, list(arguments))

        assert [one["number"] for one in json.loads((await run("list", "--json")).stdout)] == [entry["number"]]
        assert (await run("list")).exit_code == 0
        assert f"{COLUMNS}x{ROWS}" in console.file.getvalue()  # type: ignore[attr-defined]

        assert (await run("show", number, "--output", str(image))).exit_code == 0
        assert Image.open(io.BytesIO(image.read_bytes())).size == (COLUMNS, ROWS)
        assert image.stat().st_mode & 0o077 == 0
        assert AuditRecorded.from_bytes(await place.heard(subjects.AUDIT_RECORDED, "quarantine-preview")).instances == 1

        for wrong, why in (
            (("refuse", "999999"), "no picture of that number"),
            (("release", number, "--mask", "100,0,5,5"), "does not lie in the picture"),
            (("release", number), "nothing was found that could be masked"),
            (("release", number, "--mask", "1,1,1,1", "--as-it-is"), "cannot both"),
        ):
            error = (await run(*wrong)).exception
            assert isinstance(error, LauncherError) and why in str(error)
        assert (await run("release", number, "--as-it-is")).exit_code == 0
        (ds,) = await job.released()
        assert ds.PixelData == hashlib.sha512(b"own").digest() * 2


def test_a_mask_on_the_command_line_is_four_numbers() -> None:
    assert command_line.mask_of("0,10,512,40") == (0, 10, 512, 40)
    with pytest.raises(LauncherError):
        command_line.mask_of("the left corner")
