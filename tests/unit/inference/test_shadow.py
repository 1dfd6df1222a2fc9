"""A candidate beside a completed job: figures leave, and nothing else; and it makes room for jobs."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from services.chassis.faults import Fault, PermanentFault
from services.chassis.hearing import Delivery
from services.contracts.card import ModelCard
from services.contracts.events import AuditRecorded, Figure, FigureKind, JobReleased, ShadowCompared, ShadowRequested
from services.contracts.work import manifest_key, result_key
from services.inference.adapters.cards import PackageCards
from services.inference.adapters.npz import NpzResults
from services.inference.adapters.pydicom import PydicomReader
from services.inference.errors import EventUnreadable, ModelFailed, ShadowDeferred, TritonUnavailable
from services.inference.handlers import Limits, infer_job
from services.inference.model import Geometry, Prediction
from services.inference.quiet import Quiet
from services.inference.shadow import compare_shadow, fail_shadow
from services.inference.subscriptions import shadows
from tests import packages
from tests.unit.inference.fakes import CARD, Answer, FakeCards, FakeEvents, FakeModels, FakeWork, toy_card
from tests.unit.inference.series import released

EVENT = ShadowRequested("job1", "toy", "1.0.0", "2.0.0")
MODELS = Path(__file__).resolve().parents[3] / "models"


def brighter(volume: NDArray[Any], geometry: Geometry) -> Prediction:
    """The toy model's successor: what is above -800 HU has label 3."""
    labels = np.where(volume > -800, 3, 0).astype(np.uint8)
    return Prediction(labels, np.array([[np.count_nonzero(labels)]], np.float32))


async def run(work: FakeWork, answer: Answer, event: ShadowRequested = EVENT) -> FakeEvents:
    events, candidate = FakeEvents(), ModelCard.from_mapping({**CARD, "version": "2.0.0"})
    await compare_shadow(
        event,
        cards=FakeCards(toy_card(), candidate),
        work=work,
        reader=PydicomReader(),
        models=FakeModels(answer),
        results=NpzResults(),
        events=events,
        limits=Limits(),
    )
    return events


async def completed() -> FakeWork:
    """The work store after the job has run."""
    work = FakeWork(released(5))
    await infer_job(
        JobReleased("job1", "toy", "1.0.0", manifest_key("job1"), 5),
        cards=FakeCards(toy_card()),
        work=work,
        reader=PydicomReader(),
        models=FakeModels(),
        results=NpzResults(),
        events=FakeEvents(),
        limits=Limits(),
    )
    return work


async def test_a_candidate_is_compared_in_figures_and_leaves_nothing_behind() -> None:
    work = await completed()
    before = dict(work.files)
    events = await run(work, brighter)
    compared = events.said["job1.shadow.2.0.0.compared"]
    assert isinstance(compared, ShadowCompared)
    # Stored values run from 100 i to 100 i + 47 in slice i, and HU are 1024 less: above -900 and -800 HU are these.
    values = np.array([np.arange(48) + 100 * index - 1024 for index in range(5)])
    one, other = int((values > -900).sum()), int((values > -800).sum())
    assert compared.figures == (
        Figure(FigureKind.LABEL, "Bright", "", one, other, pytest.approx(2 * other / (one + other))),
        Figure(FigureKind.MEASUREMENT, "Bright volume", "mL", one, other),
    )
    assert (compared.reason_code, compared.model_version, compared.candidate) == ("", "1.0.0", "2.0.0")
    assert work.files == before and not events.mentioned
    (record,) = events.of(AuditRecorded)
    assert isinstance(record, AuditRecorded)
    assert (record.outcome, record.detail, record.job_id) == ("success", "shadow", "job1")


@pytest.mark.parametrize(
    ("event", "code"),
    [
        (EVENT, "model-failed"),
        (ShadowRequested("job1", "toy", "1.0.0", "9.9.9"), "model-unknown"),
        (ShadowRequested("job2", "toy", "1.0.0", "2.0.0"), "input-damaged"),
        (ShadowRequested("job1", "toy", "1.1.0", "2.0.0"), "input-damaged"),
    ],
)
async def test_a_candidate_that_cannot_be_compared_is_said_with_the_reason(event: ShadowRequested, code: str) -> None:
    def broken(volume: NDArray[Any], geometry: Geometry) -> Prediction:
        raise ModelFailed("toy", "no lung")

    work = await completed()
    result = work.files[result_key("job1")]
    events = await run(work, broken, event)
    (compared,) = events.of(ShadowCompared)
    assert isinstance(compared, ShadowCompared)
    assert (compared.reason_code, compared.figures) == (code, ())
    assert work.files[result_key("job1")] == result


async def test_a_fault_that_passes_is_not_the_candidates() -> None:
    def away(volume: NDArray[Any], geometry: Geometry) -> Prediction:
        raise TritonUnavailable("it does not answer")

    with pytest.raises(TritonUnavailable):
        await run(await completed(), away)


async def test_what_is_delivered_again_is_said_once() -> None:
    events = FakeEvents()
    for _ in range(2):
        await fail_shadow(EVENT, PermanentFault("why", "because"), events=events)
    assert len(events.said) == 2  # with the record of it


async def test_a_request_reaches_the_handler_and_one_that_leads_out_of_its_folder_does_not() -> None:
    heard: list[object] = []

    async def handle(event: ShadowRequested) -> None:
        heard.append(event)

    async def fail(event: ShadowRequested, fault: Fault) -> None:
        heard.append((event, fault.code))

    def delivery(event: ShadowRequested) -> Delivery:
        return Delivery("plexus.shadow.requested", event.to_bytes(), "id", 1)

    one = shadows(handle, fail)
    assert one.concurrency == 1 and one.failed is not None
    await one.handle(delivery(EVENT))
    await one.failed(delivery(EVENT), PermanentFault("why", "because"))
    stranger = delivery(ShadowRequested("../job2", "toy", "1.0.0", "2.0.0"))
    with pytest.raises(EventUnreadable, match=r"shadow\.requested"):
        await one.handle(stranger)
    await one.failed(stranger, EventUnreadable())
    assert heard == [EVENT, (EVENT, "why")]


def test_a_card_that_was_brought_again_is_read_again(tmp_path: Path) -> None:
    packages.keep(tmp_path, [MODELS / "ct-lung"])
    cards, path = PackageCards(tmp_path), tmp_path / "ct-lung" / "1.1.0" / "model.yaml"
    assert cards.find("ct-lung", "1.1.0") is cards.find("ct-lung", "1.1.0")
    path.chmod(0o644)
    path.write_text(path.read_text().replace("author: ", "author: Another, "))
    os.utime(path, ns=(1, 1))
    found = cards.find("ct-lung", "1.1.0")
    assert found is not None and found.author.startswith("Another")


class Jobs:
    """Whether a job is unfinished."""

    def __init__(self, *, busy: bool) -> None:
        self.busy = busy

    async def __call__(self) -> bool:
        return self.busy


async def test_work_waits_for_a_quiet_time_makes_room_for_a_job_and_begins_anew() -> None:
    jobs, begun, ended, asleep = Jobs(busy=True), [0], [0], asyncio.Event()
    quiet = Quiet(jobs, asyncio.Event(), look_seconds=0.005, watch_seconds=0.005)

    async def work() -> str:
        begun[0] += 1
        try:
            if begun[0] == 1:
                asleep.set()
                await asyncio.Event().wait()
        finally:
            ended[0] += 1
        return "done"

    running = asyncio.create_task(quiet.run(work))
    await asyncio.sleep(0.03)
    assert begun == [0]
    jobs.busy = False
    await asleep.wait()
    jobs.busy = True  # a job comes
    while ended == [0]:
        await asyncio.sleep(0.005)
    assert begun == [1] and not running.done()
    jobs.busy = False
    assert await running == "done"
    assert begun == [2]


async def test_a_process_that_ends_leaves_the_work_to_the_next_one() -> None:
    stopping, never = asyncio.Event(), asyncio.Event()
    quiet = Quiet(Jobs(busy=False), stopping, watch_seconds=0.005)
    running = asyncio.create_task(quiet.run(never.wait))
    await asyncio.sleep(0.01)
    stopping.set()
    with pytest.raises(ShadowDeferred):
        await running


async def test_what_the_work_throws_comes_through() -> None:
    async def work() -> None:
        raise TritonUnavailable("it does not answer")

    with pytest.raises(TritonUnavailable):
        await Quiet(Jobs(busy=False), asyncio.Event()).run(work)
