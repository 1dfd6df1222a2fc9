from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from services.chassis.faults import Fault
from services.contracts.events import AuditRecorded, JobCompleted, JobFailed, JobProgressed
from services.encode.adapters.highdicom import HighdicomEncoder
from services.encode.adapters.npz import unpack
from services.encode.errors import (
    CardMismatch,
    ResultDamaged,
    ResultMissing,
    SourceGone,
    StoreRefused,
    StoreUnavailable,
)
from services.encode.handlers import encode_job, fail_job
from services.encode.model import Kind, OriginalInput
from tests.unit.encode.kinds import ct
from tests.unit.encode.made import (
    JOB,
    NAMES,
    PLANES,
    STUDY,
    Airlock,
    Archive,
    Door,
    Results,
    Said,
    card,
    header,
    inferred,
    original,
    packed,
    pseudonym,
    read,
    sop,
)


class World:
    """The service with fakes around it."""

    def __init__(self) -> None:
        self.data = packed()
        self.results = Results({f"jobs/{JOB}/result.npz": self.data})
        self.airlock, self.archive, self.door, self.said = Airlock(), Archive(), Door(), Said()

    async def run(self, **changed: Any) -> None:
        await encode_job(
            inferred(self.data, **changed),
            results=self.results,
            unpack=partial(unpack, max_bytes=1 << 20),
            airlock=self.airlock,
            archive=self.archive,
            encoder=HighdicomEncoder(omit_empty_frames=True),
            front_door=self.door,
            events=self.said,
            names=NAMES,
        )

    def kinds(self) -> list[Kind]:
        return [document.kind for document in self.door.kept.values()]


@pytest.fixture
def world() -> World:
    return World()


async def test_a_result_is_stored_and_then_the_job_is_complete(world: World) -> None:
    await world.run()
    assert world.kinds() == [Kind.SEG, Kind.SR]
    completed = world.said.facts[f"{JOB}.completed"]
    assert isinstance(completed, JobCompleted)
    assert [(item.kind, item.study_instance_uid) for item in completed.results] == [("SEG", STUDY), ("SR", STUDY)]
    assert [item.sop_instance_uid for item in completed.results] == list(world.door.kept)


async def test_a_prior_that_is_gone_fails_the_job_for_a_reference_must_lead_somewhere(world: World) -> None:
    world.airlock = Airlock(original(inputs=(OriginalInput("prior", "1.8", "1.8.1", ("1.8.1.1",)),)))
    with pytest.raises(SourceGone):
        await world.run()
    assert not world.door.kept


async def test_a_job_that_is_delivered_again_has_one_result_and_is_complete_once(world: World) -> None:
    await world.run()
    first = dict(world.door.kept)
    await world.run()
    assert world.door.kept == first
    assert len(world.said.of(JobCompleted)) == 1
    assert len(world.said.of(AuditRecorded)) == 1


async def test_a_job_is_not_complete_before_its_results_are_durable(world: World) -> None:
    world.door.fault = StoreUnavailable()
    with pytest.raises(StoreUnavailable):
        await world.run()
    assert world.said.facts == {}


async def test_every_access_is_in_the_log(world: World) -> None:
    await world.run()
    (record,) = world.said.of(AuditRecorded)
    assert (record.action, record.outcome, record.caller) == ("result", "success", "service:encode")
    assert (record.study_instance_uid, record.job_id, record.instances) == (STUDY, JOB, 2)


async def test_progress_is_mentioned_by_step(world: World) -> None:
    await world.run()
    assert [
        (event.step, event.done, event.total) for event in world.said.mentioned if type(event) is JobProgressed
    ] == [
        ("encode", 0, 1),
        ("encode", 1, 1),
        ("store", 0, 2),
        ("store", 2, 2),
    ]


async def test_planes_go_by_the_result_and_not_by_the_order_of_the_archive(world: World) -> None:
    backwards = [pseudonym(plane) for plane in reversed(range(PLANES))]
    world.data = packed(frames=backwards)
    world.results.objects[f"jobs/{JOB}/result.npz"] = world.data
    await world.run()
    seg = read(next(iter(world.door.kept.values())))
    framed = {
        item.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        for item in seg.PerFrameFunctionalGroupsSequence
        if item.SegmentIdentificationSequence[0].ReferencedSegmentNumber == 1
    }
    assert framed == {sop(PLANES - 1 - plane) for plane in range(1, 5)}


async def test_a_result_that_is_not_there_is_told(world: World) -> None:
    world.results.objects.clear()
    with pytest.raises(ResultMissing):
        await world.run()


async def test_another_result_than_was_announced_is_refused(world: World) -> None:
    with pytest.raises(ResultDamaged):
        await world.run(digest="0" * 64)


async def test_source_instances_that_are_gone_are_counted_and_not_named(world: World) -> None:
    for plane in (0, 3):
        del world.archive.instances[sop(plane)]
    with pytest.raises(SourceGone, match="2 of 8") as gone:
        await world.run()
    assert sop(0) not in str(gone.value)


async def test_a_plane_of_an_instance_that_was_never_released_is_refused(world: World) -> None:
    world.airlock.known = original(sop_instance_uids={pseudonym(0): sop(0)})
    with pytest.raises(CardMismatch, match="7 planes"):
        await world.run()


async def test_a_new_revision_names_the_report_that_it_replaces_when_there_is_one(world: World) -> None:
    world.airlock.known = original(revision=2, supersedes="job-0")
    await world.run()
    assert "PredecessorDocumentsSequence" not in read(list(world.door.kept.values())[-1])
    world.door.kept.clear()
    world.archive.instances[NAMES.instance("job-0", Kind.SR).sop_instance_uid] = header(0)
    await world.run()
    assert "PredecessorDocumentsSequence" in read(list(world.door.kept.values())[-1])


async def test_key_pictures_are_drawn_on_pixels_that_the_archive_gives(world: World) -> None:
    world.data = packed(card=card(results={"PDF": {}, "SC": {}, "SR": {}}))
    world.results.objects[f"jobs/{JOB}/result.npz"] = world.data
    source = ct()
    world.archive.whole = {sop(1): source.files[1]}
    await world.run()
    assert world.archive.shown == [sop(1), sop(2)]  # the second has no pixels that can be had
    assert world.kinds() == [Kind.SC, Kind.PDF, Kind.SR]


async def test_no_pixels_are_asked_for_when_nobody_sees_them(world: World) -> None:
    await world.run()
    assert world.archive.shown == []


@pytest.mark.parametrize(
    ("fault", "step"),
    [(ResultMissing(), "encode"), (StoreRefused("SEG", "x"), "store"), (StoreUnavailable(), "store")],
)
async def test_a_job_that_cannot_go_on_says_why_once(world: World, fault: Fault, step: str) -> None:
    event = inferred(world.data, attempt=2)
    for _ in range(2):
        await fail_job(event, fault, events=world.said)
    assert world.said.facts[f"{JOB}.2.failed"] == JobFailed(JOB, step, fault.code, fault.reason, 2)
    (record,) = world.said.of(AuditRecorded)
    assert (record.outcome, record.reason_code) == ("failure", fault.code)
