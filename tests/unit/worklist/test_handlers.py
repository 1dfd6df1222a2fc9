"""What the worklist does, on fakes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.chassis.principal import Principal
from services.contracts.card import ModelCard, PackageKind
from services.contracts.events import AuditRecorded, JobCancelled, JobFailed, JobReleased, JobRequested
from services.worklist import handlers, runs
from services.worklist.errors import JobConflictError, NoSuchJobError, NoSuchModelError
from services.worklist.model import Job, JobState, Performer, Priority
from services.worklist.ports import Candidate
from services.worklist.turns import Rules
from tests.unit.worklist.samples import (
    SERIES,
    STUDY,
    FixedRule,
    MemoryArchive,
    MemoryJobs,
    MemoryJournal,
    card,
    job,
    later,
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


async def admit(jobs: MemoryJobs, most: int = 8) -> None:
    await handlers.admit(later(1), rules=Rules(most, timedelta(hours=1)), jobs=jobs)


async def test_a_settled_series_brings_one_job_for_each_model_that_selects_it() -> None:
    jobs = MemoryJobs()
    await select(jobs, MemoryJournal(), lung=True, bone=True, brain=False)
    assert {kept.state for kept in jobs.jobs.values()} == {JobState.WAITING}
    assert [item.job_id for item in jobs.items] == list(jobs.jobs)
    await admit(jobs)
    assert sorted(kept.model for kept in jobs.jobs.values()) == ["bone", "lung"]
    requested = [(fact, message_id) for fact, message_id in jobs.said if isinstance(fact, JobRequested)]
    assert [message_id for _, message_id in requested] == [f"{kept.id}.1.requested" for kept in jobs.jobs.values()]
    assert requested[0][0].series_instance_uid == SERIES


async def test_a_job_shares_its_turn_with_those_of_the_same_sender() -> None:
    for sender, shared in (("CT1", "CT1"), ("", STUDY)):
        jobs = MemoryJobs()
        await handlers.select(
            replace(settled(1), sender=sender),
            candidates=[Candidate(card(), FixedRule(True))],
            archive=MemoryArchive(),
            jobs=jobs,
            journal=MemoryJournal(),
        )
        assert [job.sender for job in jobs.jobs.values()] == [shared]


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
    assert (JobCancelled(old.id), f"{old.id}.1.cancelled") in jobs.said


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
    assert (again.state, again.attempt) == (JobState.WAITING, 2)
    await admit(jobs)
    (audit, _), (requested, message_id) = jobs.said
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


async def test_a_job_that_nobody_has_begun_is_cancelled_without_a_word_to_the_mesh() -> None:
    jobs = MemoryJobs(job(state=JobState.WAITING, admitted_at=None))
    await handlers.cancel("a" * 32, principal=Principal("ann"), jobs=jobs)
    assert [type(fact) for fact, _ in jobs.said] == [AuditRecorded]


async def test_what_somebody_outside_had_claimed_and_not_done_in_time_is_the_meshs_again_when_it_is_retried() -> None:
    claimed = job(state=JobState.FAILED, performer=Performer.OUTSIDE, deadline=later(5))
    for kind, performer in ((PackageKind.TRITON, Performer.MESH), (PackageKind.EXTERNAL, Performer.OUTSIDE)):
        jobs, model = MemoryJobs(claimed), replace(card(), kind=kind)
        in_use = [Candidate(model, FixedRule(True))]
        again = await handlers.retry("a" * 32, principal=Principal("ann"), jobs=jobs, candidates=in_use)
        assert (again.state, again.performer, again.deadline) == (JobState.WAITING, performer, None)


async def test_a_job_whose_deadline_has_passed_fails_and_stops() -> None:
    jobs, journal = MemoryJobs(job(deadline=later(5)), job(id="b" * 32, deadline=later(50))), MemoryJournal()
    await handlers.expire(later(6), jobs=jobs, journal=journal)
    late, other = jobs.jobs.values()
    assert (late.state, late.reason_code, other.state) == (JobState.FAILED, "deadline-passed", JobState.REQUESTED)
    assert [type(fact) for fact, _ in jobs.said] == [JobCancelled, AuditRecorded]


async def ask(jobs: MemoryJobs, *, kind: PackageKind = PackageKind.TRITON, **wish: Any) -> list[Job]:
    model = card()
    candidate = Candidate(replace(model, kind=kind), FixedRule(True))
    return await runs.ask(
        runs.Wish("ct-lung", STUDY, **wish),
        principal=Principal("ann"),
        candidates=[candidate],
        archive=MemoryArchive(),
        jobs=jobs,
        journal=MemoryJournal(),
        dicomweb="http://edge/dicom-web",
    )


async def test_a_person_who_asks_gets_the_job_that_is_there_unless_it_is_to_be_made_again() -> None:
    jobs = MemoryJobs()
    (first,) = await ask(jobs, series_instance_uid=SERIES, priority=Priority.HIGH)
    assert (first.priority, first.sender, first.series_digest) == (Priority.HIGH, "ann", "d1")
    (same,) = await ask(jobs, series_instance_uid=SERIES)
    (again,) = await ask(jobs, series_instance_uid=SERIES, force=True)
    assert (same.id, again.run, again.id == first.id) == (first.id, 1, False)


async def test_a_study_is_run_on_every_series_that_the_rule_selects() -> None:
    assert len(await ask(MemoryJobs())) == 2


async def test_a_model_that_is_not_there_cannot_be_run() -> None:
    with pytest.raises(NoSuchModelError):
        await runs.ask(
            runs.Wish("x", STUDY), principal=Principal("ann"), candidates=[], archive=MemoryArchive(),
            jobs=MemoryJobs(), journal=MemoryJournal(), dicomweb="",
        )  # fmt: skip


async def test_a_job_of_an_external_model_waits_for_a_performer_outside() -> None:
    jobs = MemoryJobs()
    (waiting,) = await ask(jobs, kind=PackageKind.EXTERNAL, series_instance_uid=SERIES)
    assert waiting.performer is Performer.OUTSIDE


async def test_a_job_that_is_not_there_can_be_neither_retried_nor_cancelled() -> None:
    for ask in (handlers.retry, handlers.cancel):
        with pytest.raises(NoSuchJobError):
            await ask("f" * 32, principal=Principal("ann"), jobs=MemoryJobs())


async def test_no_model_runs_by_itself_on_what_a_job_has_made() -> None:
    jobs, archive = MemoryJobs(), MemoryArchive()
    await select(jobs, MemoryJournal(), lung=True)
    (first,) = jobs.jobs.values()
    item = {"0018A003": {"vr": "ST", "Value": [f"Made by an algorithm, not verified. Job {first.id}."]}}
    candidates = [Candidate(card("any"), FixedRule(True))]
    stranger = {"0018A003": {"vr": "ST", "Value": [f"Job {'0' * 32}."]}}
    for maker, brings in ((item, 1), (stranger, 2)):
        archive.attributes = {"0018A001": {"vr": "SQ", "Value": [{}, maker]}}
        await handlers.select(settled(7), candidates=candidates, archive=archive, jobs=jobs, journal=MemoryJournal())
        assert len(jobs.jobs) == brings  # of a job that is not ours, it is a series like any other


async def test_a_model_on_request_waits_to_be_asked() -> None:
    jobs, model = MemoryJobs(), ModelCard.from_mapping({**card("fat").source, "automatic": False})
    candidates = [Candidate(model, FixedRule(True))]
    settled_series = settled(1)
    await handlers.select(
        settled_series, candidates=candidates, archive=MemoryArchive(), jobs=jobs, journal=MemoryJournal()
    )
    assert not jobs.jobs
    wish = runs.Wish("fat", STUDY)
    asked = await runs.ask(
        wish,
        principal=Principal.local(),
        candidates=candidates,
        archive=MemoryArchive(),
        jobs=jobs,
        journal=MemoryJournal(),
        dicomweb="",
    )
    assert {each.model for each in asked} == {"fat"}
