"""Who lets instances out looks at their series first, where the profile has faces removed."""

import io
import json
from pathlib import Path

import numpy as np
import pydicom
import pytest

from services.anonymise.burned_in.model import Doubt
from services.anonymise.burned_in.workers import Workers
from services.anonymise.engine.profile_file import read_profile
from services.anonymise.errors import HeldError
from services.anonymise.handlers import releasing
from services.anonymise.handlers.releasing import Limits
from services.anonymise.handlers.serving import deidentify_all
from services.chassis.principal import Principal
from services.contracts.events import JobRequested
from tests.unit.anonymise.defacing.heads import MR, file_of, slices
from tests.unit.anonymise.defacing.test_series import FACES, HEAD, policy
from tests.unit.anonymise.fakes import FakeArchive, FakeBulletin, FakeReleases, FakeWork

REQUESTED = JobRequested("job-1", "1.2.3", "1.2.3.1", 1, "d1", "a-model", "1.0.0")


async def released(files: list[bytes], workers: Workers) -> tuple[FakeArchive, FakeWork]:
    archive = FakeArchive({f"1.2.3.4.{number}": file for number, file in enumerate(files)}, sop_class_uid=MR)
    work = FakeWork()
    await releasing.release(
        REQUESTED,
        archive=archive,
        work=work,
        releases=FakeReleases(),
        bulletin=FakeBulletin(),
        policy=policy(workers),
        limits=Limits(at_once=3, instance_bytes=100_000),
    )
    return archive, work


async def test_a_job_gets_its_series_without_a_face(workers: Workers) -> None:
    archive, work = await released([file_of(one, number) for number, one in enumerate(HEAD)], workers)
    lines = json.loads(work.files["jobs/job-1/input/manifest.json"])["instances"]
    left = [pydicom.dcmread(io.BytesIO(work.files[f"jobs/job-1/input/{line['file']}"])) for line in lines]
    by_place = sorted(left, key=lambda ds: float(ds.ImagePositionPatient[2]))
    assert archive.reads == 2 * len(HEAD)
    for ds, one in zip(by_place, HEAD, strict=True):
        assert not (ds.pixel_array[one.parts.face] > one.values.min()).any()
        assert np.array_equal(ds.pixel_array[one.parts.brain], one.values[one.parts.brain])


async def test_a_job_of_a_series_that_may_show_a_face_is_held_with_one_entry(workers: Workers) -> None:
    with pytest.raises(HeldError) as held:
        await released([file_of(one, number) for number, one in enumerate(HEAD[:9])], workers)
    (finding,) = held.value.findings
    assert finding.doubt is Doubt.FACE_PLACE and finding.frames == 1


async def test_who_hands_instances_in_gets_whole_series_back_or_none_of_them(workers: Workers) -> None:
    head = [file_of(one, number) for number, one in enumerate(HEAD)]
    sagittal = list(slices("sagittal"))[26]
    profile = [file_of(sagittal, 900 + number, SeriesInstanceUID="1.2.3.2") for number in range(2)]
    mixed = [*head[:20], profile[0], *head[20:], profile[1], b"no DICOM"]
    done = await deidentify_all(mixed, principal=Principal.local(), policy=policy(workers), releases=FakeReleases())
    assert len(done.instances) == len(head)
    assert done.refused == {"pixels-doubtful": 2, "unreadable": 1}


def test_the_profile_for_heads_asks_for_it() -> None:
    profile = read_profile(Path("deploy/profiles/heads.yaml"))
    assert profile.options == FACES.options
