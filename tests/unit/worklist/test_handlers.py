"""What the worklist does, on fakes."""

from __future__ import annotations

import pytest

from services.chassis.principal import Principal
from services.contracts.events import AuditRecorded, JobCancelled, JobFailed, JobReleased, JobRequested
from services.worklist import handlers
from services.worklist.errors import JobConflictError, NoSuchJobError
from services.worklist.model import JobState
from services.worklist.ports import Candidate
from tests.unit.worklist.samples import (
    SERIES,
    STUDY,
    FixedRule,
    MemoryArchive,
    MemoryJobs,
    MemoryJournal,
    card,
    job,
    settled,
)


async def select(jobs: MemoryJobs, journal: MemoryJournal, *, revision: int = 1, **answers: bool | None) -> None:
    await handlers.select(
        settled(revision),
        candidates=[Candidate(card(name), FixedRule(answer)) for name, answer in answers.items()],
        archive=MemoryArchive(),
        jobs=jobs,
        journal=journal,
    )


async def test_a_settled_series_brings_one_job_for_each_model_that_selects_it() -> None:
    jobs = MemoryJobs()
    await select(jobs, MemoryJournal(), lung=True, bone=True, brain=False)
    assert sorted(kept.model for kept in jobs.jobs.values()) == ["bone", "lung"]
    requested = [(fact, message_id) for fact, message_id in jobs.said if isinstance(fact, JobRequested)]
    assert [message_id for _, message_id in requested] == [f"{kept.id}.1.requested" for kept in jobs.jobs.values()]
    assert requested[0][0].series_instance_uid == SERIES


async def test_the_same_series_again_says_nothing_again() -> None:
    jobs = MemoryJobs()
    await select(jobs, MemoryJournal(), lung=True)
    said = list(jobs.said)
    await select(jobs, MemoryJournal(), lung=True)
    assert (len(jobs.jobs), jobs.said) == (1, said)


async def test_a_rule_that_fails_selects_nothing_and_the_log_names_its_model_and_no_value() -> None:
    jobs, journal = MemoryJobs(), MemoryJournal()
    await select(jobs, journal, lung=None, bone=True)
    assert [kept.model for kept in jobs.jobs.values()] == ["bone"]
    assert ("rule.failed", {"model": "lung", "error": "TypeError"}) in journal.lines
    assert STUDY not in str(journal.lines)


async def test_a_newer_revision_cancels_the_unfinished_job_and_says_so() -> None:
    jobs = MemoryJobs(job(model="lung"))
    await select(jobs, MemoryJournal(), revision=2, lung=True)
    old, new = jobs.jobs.values()
    assert (old.state, old.reason_code, new.supersedes) == (JobState.CANCELLED, "superseded", old.id)
    assert (JobCancelled(old.id), f"{old.id}.cancelled") in jobs.said


async def test_every_new_job_is_in_the_audit_log() -> None:
    jobs = MemoryJobs()
    await select(jobs, MemoryJournal(), lung=True)
    (audit,) = [fact for fact, _ in jobs.said if isinstance(fact, AuditRecorded)]
    (kept,) = jobs.jobs.values()
    assert (audit.action, audit.detail, audit.job_id, audit.caller, audit.study_instance_uid) == (
        "job",
        "requested",
        kept.id,
        "service:worklist",
        STUDY,
    )


async def test_a_fact_of_a_job_that_nobody_knows_is_logged_and_passed_over() -> None:
    journal = MemoryJournal()
    fact = JobReleased("f" * 32, "ct-lung", "1.0.0", "x", 1)
    await handlers.hear(fact, jobs=MemoryJobs(), journal=journal)
    assert journal.lines == [("job.unknown", {"job_id": "f" * 32, "subject": "plexus.job.released"})]


async def test_a_failed_job_is_requested_again_in_the_name_of_who_asked() -> None:
    old = job()
    jobs = MemoryJobs(old)
    await handlers.hear(JobFailed(old.id, "infer", "model-failed", "it failed"), jobs=jobs, journal=MemoryJournal())
    again = await handlers.retry(old.id, principal=Principal("ann"), jobs=jobs)
    assert (again.state, again.attempt) == (JobState.REQUESTED, 2)
    (requested, message_id), (audit, _) = jobs.said
    assert isinstance(requested, JobRequested)
    assert isinstance(audit, AuditRecorded)
    assert (requested.attempt, message_id) == (2, f"{old.id}.2.requested")
    assert (audit.caller, audit.detail) == ("ann", "retried")


async def test_a_cancelled_job_says_so_in_the_name_of_who_asked() -> None:
    jobs = MemoryJobs(job())
    stopped = await handlers.cancel("a" * 32, principal=Principal("ann"), jobs=jobs)
    assert stopped.state is JobState.CANCELLED
    assert [type(fact) for fact, _ in jobs.said] == [JobCancelled, AuditRecorded]
    with pytest.raises(JobConflictError):
        await handlers.cancel("a" * 32, principal=Principal("ann"), jobs=jobs)


async def test_a_job_that_is_not_there_can_be_neither_retried_nor_cancelled() -> None:
    for ask in (handlers.retry, handlers.cancel):
        with pytest.raises(NoSuchJobError):
            await ask("f" * 32, principal=Principal("ann"), jobs=MemoryJobs())
