"""A released job becomes one result, however often it is delivered."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from services.chassis.faults import Fault
from services.contracts.events import AuditRecorded, JobFailed, JobInferred, JobProgressed, JobReleased
from services.contracts.work import manifest_key, result_key
from services.inference.adapters.npz import NpzResults
from services.inference.adapters.pydicom import PydicomReader
from services.inference.errors import (
    InputDamaged,
    ModelFailed,
    ModelUnknown,
    NotAVolume,
    OutputMismatch,
    Refusal,
    TritonUnavailable,
    WorkUnavailable,
)
from services.inference.handlers import Limits, fail_job, infer_job
from services.inference.model import Geometry, Prediction
from tests.unit.inference.fakes import FakeCards, FakeEvents, FakeModels, FakeWork, bright, toy_card
from tests.unit.inference.series import pixels, released

KEY = result_key("job1")


def event(instances: int, *, version: str = "1.0.0", attempt: int = 1) -> JobReleased:
    return JobReleased("job1", "toy", version, manifest_key("job1"), instances, attempt)


async def run(
    job: JobReleased, work: FakeWork, models: FakeModels | None = None, limits: Limits | None = None
) -> FakeEvents:
    events = FakeEvents()
    await infer_job(
        job,
        cards=FakeCards(toy_card()),
        work=work,
        reader=PydicomReader(),
        models=models or FakeModels(),
        results=NpzResults(),
        events=events,
        limits=limits or Limits(),
    )
    return events


def unpacked(work: FakeWork) -> tuple[Mapping[str, NDArray[Any]], Any]:
    file = np.load(BytesIO(work.files[KEY]), allow_pickle=False)
    return file, json.loads(file["meta"].tobytes())


async def test_the_volume_is_in_slice_order_and_the_result_says_which_plane_is_which_instance() -> None:
    work, models = FakeWork(released(9)), FakeModels()
    events = await run(event(9), work, models)
    assert np.array_equal(models.rooms[0].volume, np.stack([pixels(index) - 1024 for index in range(9)]))
    file, meta = unpacked(work)
    assert meta["frames"] == [[f"2.25.1000{index}", 1] for index in range(9)]
    assert meta["job_id"] == "job1" and meta["schema"] == 2 and meta["spacing"] == [2.5, 0.8, 0.7]
    assert meta["origin"] == [-10, -20, 0] and meta["direction"] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert meta["card"]["name"] == "toy" and meta["compute"]["infer_seconds"] >= 0
    assert np.array_equal(
        file["labels"], bright(models.rooms[0].volume, Geometry((), (1, 1, 1), (1, 1, 1), np.eye(3))).labels
    )
    assert file["measurements"].dtype == np.float32
    digest = hashlib.sha256(work.files[KEY]).hexdigest()
    assert events.said["job1.1.inferred"] == JobInferred("job1", "toy", "1.0.0", KEY, digest, 1)


async def test_progress_is_said_for_both_steps() -> None:
    events = await run(event(9), FakeWork(released(9)))
    steps = [(one.step, one.done, one.total) for one in events.mentioned if isinstance(one, JobProgressed)]
    assert steps[0] == ("assemble", 0, 9) and ("assemble", 9, 9) in steps
    assert steps[-2:] == [("infer", 0, 1), ("infer", 1, 1)]


async def test_a_job_that_is_delivered_again_is_not_run_again_but_announced_again() -> None:
    work, models = FakeWork(released(5)), FakeModels()
    first = await run(event(5), work, models)
    again = await run(event(5), work, models)
    assert len(models.rooms) == 1
    assert again.said["job1.1.inferred"] == first.said["job1.1.inferred"]


async def test_a_retry_says_its_own_attempt_with_the_result_that_is_there() -> None:
    work, models = FakeWork(released(5)), FakeModels()
    await run(event(5), work, models)
    events = await run(event(5, attempt=2), work, models)
    assert "job1.2.inferred" in events.said and len(models.rooms) == 1


async def test_a_result_that_was_cut_short_is_made_again() -> None:
    work, models = FakeWork(released(5)), FakeModels()
    await run(event(5), work, models)
    work.files[KEY] = work.files[KEY][:-40]
    events = await run(event(5), work, models)
    assert len(models.rooms) == 2
    assert events.of(JobInferred) and unpacked(work)[1]["job_id"] == "job1"


async def test_of_two_processes_with_the_same_job_the_first_result_counts() -> None:
    work = FakeWork(released(5))

    def slower(volume: NDArray[np.int16], geometry: Geometry) -> Prediction:
        work.files[KEY] = b"the other one's"
        return bright(volume, geometry)

    events = await run(event(5), work, FakeModels(slower))
    assert work.files[KEY] == b"the other one's"
    assert events.said["job1.1.inferred"].digest == hashlib.sha256(b"the other one's").hexdigest()  # type: ignore[attr-defined]


async def test_a_model_that_is_not_here_is_refused_before_anything_is_read() -> None:
    work = FakeWork(released(5))
    with pytest.raises(ModelUnknown):
        await run(event(5, version="9.9.9"), work)
    assert not work.reads


async def test_a_file_that_is_not_the_released_one_is_refused() -> None:
    work = FakeWork(released(5))
    work.files["jobs/job1/input/00003.dcm"] += b"\0\0"
    with pytest.raises(InputDamaged, match="digest"):
        await run(event(5), work)


async def test_a_file_that_is_missing_is_refused() -> None:
    work = FakeWork(released(5))
    del work.files["jobs/job1/input/00003.dcm"]
    with pytest.raises(InputDamaged):
        await run(event(5), work)


async def test_a_series_that_is_no_volume_is_refused_without_decoding_it() -> None:
    def two_time_points(ds: Dataset, index: int) -> None:
        ds.ImagePositionPatient = [0, 0, index % 3]

    models = FakeModels()
    with pytest.raises(NotAVolume) as caught:
        await run(event(6), FakeWork(released(6, change=two_time_points)), models)
    assert caught.value.refusal is Refusal.DUPLICATE_POSITIONS
    assert not models.rooms


async def test_a_header_longer_than_the_first_read_is_read_whole() -> None:
    def long(ds: Dataset, index: int) -> None:
        ds.add_new(0x00091010, "OB", bytes(100_000))
        ds.add_new(0x00090010, "LO", "PLEXUS TEST")

    work = FakeWork(released(4, change=long))
    assert (await run(event(4), work)).of(JobInferred)


async def test_a_volume_beyond_the_limit_is_refused() -> None:
    with pytest.raises(NotAVolume) as caught:
        await run(event(5), FakeWork(released(5)), limits=Limits(2, 100))
    assert caught.value.refusal is Refusal.TOO_LARGE


async def test_an_answer_that_does_not_fit_the_card_is_not_kept() -> None:
    def wrong(volume: NDArray[np.int16], geometry: Geometry) -> Prediction:
        return Prediction(np.full(volume.shape, 9, np.uint8), np.zeros((1, 1), np.float32))

    work = FakeWork(released(5))
    with pytest.raises(OutputMismatch):
        await run(event(5), work, FakeModels(wrong))
    assert KEY not in work.files


@pytest.mark.parametrize(
    ("fault", "step"),
    [
        (NotAVolume(Refusal.SHEARED, "x"), "assemble"),
        (InputDamaged("x"), "assemble"),
        (WorkUnavailable("x"), "assemble"),
        (ModelFailed("toy", "x"), "infer"),
        (TritonUnavailable("x"), "infer"),
        (OutputMismatch("toy", "x"), "infer"),
    ],
)
async def test_a_failed_job_says_its_step_code_and_reason_once(fault: Fault, step: str) -> None:
    events = FakeEvents()
    await fail_job(event(5), fault, events=events)
    await fail_job(event(5), fault, events=events)
    assert events.said["job1.1.failed"] == JobFailed("job1", step, fault.code, fault.reason, 1)
    assert len(events.of(JobFailed)) == len(events.of(AuditRecorded)) == 1


async def test_every_job_leaves_one_audit_record_that_names_no_study() -> None:
    events = await run(event(5), FakeWork(released(5)))
    (record,) = events.of(AuditRecorded)
    assert isinstance(record, AuditRecorded)
    assert (record.service, record.outcome, record.job_id, record.instances) == ("inference", "success", "job1", 5)
    assert record.study_instance_uid == record.series_instance_uid == ""
