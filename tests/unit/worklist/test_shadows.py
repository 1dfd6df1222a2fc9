"""A candidate beside a completed job: when it is asked for, and when no longer."""

from __future__ import annotations

from typing import Any

from services.chassis.principal import Principal
from services.contracts.events import ShadowRequested
from services.worklist import handlers, runs, shadows
from services.worklist.model import Job, JobState
from services.worklist.ports import Candidate
from tests.unit.worklist.samples import (
    SERIES,
    STUDY,
    FixedCandidates,
    FixedRule,
    MemoryArchive,
    MemoryJobs,
    MemoryJournal,
    card,
    job,
    later,
    settled,
)


class Catalogue(FixedCandidates):
    """ct-lung 1.0.0 is in use, and beside it runs what is said here."""

    def __init__(self, shadow: str = "2.0.0") -> None:
        super().__init__()
        self._candidates = [Candidate(card(), FixedRule(True), shadow)]


def completed(**fields: Any) -> Job:
    return job(state=JobState.COMPLETED, shadow="2.0.0", **fields)


async def test_a_completed_job_brings_the_run_of_its_shadow_once() -> None:
    jobs = MemoryJobs(completed())
    asked = await shadows.admit(later(9), jobs=jobs, catalogue=Catalogue())
    assert asked is not None and asked.shadowed_at == later(9)
    event = ShadowRequested("a" * 32, "ct-lung", "1.0.0", "2.0.0")
    assert jobs.said == [(event, f"{'a' * 32}.shadow.2.0.0.requested")]
    assert await shadows.admit(later(10), jobs=jobs, catalogue=Catalogue()) is None


async def test_it_waits_until_no_job_waits_or_is_in_work() -> None:
    jobs = MemoryJobs(completed(), job(id="b" * 32))
    assert await shadows.admit(later(1), jobs=jobs, catalogue=Catalogue()) is None
    await handlers.cancel("b" * 32, principal=Principal("ann"), jobs=jobs)
    assert await shadows.admit(later(2), jobs=jobs, catalogue=Catalogue()) is not None


async def test_a_shadow_that_is_wanted_no_more_is_let_go_without_a_word() -> None:
    for shadow in ("", "3.0.0"):
        jobs = MemoryJobs(completed())
        let_go = await shadows.admit(later(1), jobs=jobs, catalogue=Catalogue(shadow))
        assert let_go is not None and (let_go.shadow, let_go.shadowed_at) == ("", None)
        assert not jobs.said


async def test_a_job_that_did_not_complete_has_no_shadow() -> None:
    for state in (JobState.FAILED, JobState.CANCELLED):
        jobs = MemoryJobs(job(state=state, shadow="2.0.0"))
        assert await shadows.admit(later(1), jobs=jobs, catalogue=Catalogue()) is None


async def test_a_settled_series_brings_a_job_that_names_its_shadow() -> None:
    jobs = MemoryJobs()
    await handlers.select(
        settled(1),
        candidates=await Catalogue().candidates(),
        archive=MemoryArchive(),
        jobs=jobs,
        journal=MemoryJournal(),
    )
    assert [kept.shadow for kept in jobs.jobs.values()] == ["2.0.0"]


async def ask(jobs: MemoryJobs) -> Job:
    (asked,) = await runs.ask(
        runs.Wish("ct-lung", STUDY, SERIES, force=True),
        principal=Principal("ann"),
        candidates=await Catalogue().candidates(),
        archive=MemoryArchive(),
        jobs=jobs,
        journal=MemoryJournal(),
        dicomweb="",
    )
    return asked


async def test_a_run_that_is_asked_for_has_its_shadow_but_the_same_input_only_once() -> None:
    jobs = MemoryJobs()
    assert (await ask(jobs)).shadow == "2.0.0"
    assert (await ask(jobs)).shadow == ""
    jobs = MemoryJobs(job(state=JobState.FAILED, shadow="2.0.0"))
    assert (await ask(jobs)).shadow == "2.0.0"
