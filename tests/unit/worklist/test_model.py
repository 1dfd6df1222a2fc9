"""The state machine of a job, and what a settled series brings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contracts.events import (
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobInferred,
    JobProgressed,
    JobReleased,
    LeftOut,
    Result,
)
from services.worklist import model, ruling
from services.worklist.errors import JobConflictError
from services.worklist.model import Job, JobFact, JobQuery, JobState, Step
from services.worklist.ruling import Ruling
from tests.unit.worklist.samples import NOON, STUDY, card, job, later, settled

ID = "a" * 32
SEG = Result("SEG", STUDY, "2.25.1", "2.25.2", "1.2.840.10008.5.1.4.1.1.66.4")


def released(attempt: int = 1) -> JobReleased:
    return JobReleased(ID, "ct-lung", "1.0.0", f"jobs/{ID}/input/manifest.json", 100, attempt)


def inferred(attempt: int = 1) -> JobInferred:
    return JobInferred(ID, "ct-lung", "1.0.0", f"jobs/{ID}/result.npz", "0" * 64, attempt)


def failed(attempt: int = 1) -> JobFailed:
    return JobFailed(ID, "assemble", "not-a-volume", "the series is no volume", attempt)


LEFT_OUT = LeftOut("GSPS", "not-carried", "a slide cannot carry a GSPS, so there is none")
COMPLETED, CANCELLED = JobCompleted(ID, (SEG,)), JobCancelled(ID)


def after(start: Job, *facts: JobFact) -> Job:
    for number, fact in enumerate(facts, 1):
        start = model.hear(start, fact, later(number))
    return start


def test_a_job_goes_from_requested_to_completed() -> None:
    states = [
        (moved.state, moved.step)
        for moved in (after(job(), *(released(), inferred(), COMPLETED)[:steps]) for steps in range(4))
    ]
    assert states == [
        (JobState.REQUESTED, Step.DEIDENTIFY),
        (JobState.RELEASED, Step.ASSEMBLE),
        (JobState.INFERRED, Step.ENCODE),
        (JobState.COMPLETED, Step.STORE),
    ]
    ended = after(job(), released(), inferred(), COMPLETED)
    assert (ended.released_at, ended.inferred_at, ended.finished_at) == (later(1), later(2), later(3))
    assert ended.results == (SEG,)


def test_a_repeated_fact_changes_nothing() -> None:
    for fact in (released(), inferred(), COMPLETED, failed(), CANCELLED):
        once = after(job(), fact)
        assert model.hear(once, fact, later(9)) is once


def test_a_completion_that_is_heard_first_completes_and_later_news_only_fill_in_times() -> None:
    ended = after(job(), COMPLETED, inferred(), released())
    assert (ended.state, ended.step) == (JobState.COMPLETED, Step.STORE)
    # No step can have been reached after what followed from it.
    assert (ended.released_at, ended.inferred_at, ended.finished_at) == (later(1), later(1), later(1))


FACTS = st.sampled_from(
    [
        released(),
        inferred(),
        COMPLETED,
        failed(),
        released(7),
        inferred(7),
        failed(7),
        *(JobProgressed(ID, step, done, 10) for step in (*Step, "unheard-of") for done in (0, 5, 10)),
    ]
)


@given(st.lists(FACTS, max_size=12))
def test_facts_in_any_order_end_in_the_state_of_the_furthest(facts: list[JobFact]) -> None:
    ended = after(job(), *facts)
    if COMPLETED in facts:
        expected = JobState.COMPLETED
    elif failed() in facts:
        expected = JobState.FAILED
    elif inferred() in facts:
        expected = JobState.INFERRED
    elif released() in facts:
        expected = JobState.RELEASED
    else:
        expected = JobState.REQUESTED
    assert ended.state is expected
    assert (ended.finished_at is not None) is ended.state.ended
    assert bool(ended.reason_code) is (expected is JobState.FAILED)
    assert ended.results == ((SEG,) if expected is JobState.COMPLETED else ())


@given(st.lists(st.one_of(FACTS, st.just(CANCELLED)), max_size=12))
def test_no_fact_moves_a_job_back(facts: list[JobFact]) -> None:
    rank = {state: place for place, state in enumerate(JobState)}
    steps = {str(step): place for place, step in enumerate(Step)}
    before = job()
    for number, fact in enumerate(facts, 1):
        now = model.hear(before, fact, later(number))
        if before.state.ended:
            assert now.state is before.state or (before.state, now.state) == (JobState.FAILED, JobState.COMPLETED)
        else:
            assert rank[now.state] >= rank[before.state]
            assert now.state is JobState.FAILED or steps[now.step] >= steps[before.step]
        if before.state in (JobState.COMPLETED, JobState.CANCELLED):
            assert now.finished_at == before.finished_at
        times = [t for t in (now.requested_at, now.released_at, now.inferred_at) if t]
        assert times == sorted(times)
        before = now


def test_results_that_are_durable_complete_a_job_that_was_given_up_for_failed() -> None:
    ended = after(job(), failed(), COMPLETED)
    assert (ended.state, ended.reason_code, ended.reason) == (JobState.COMPLETED, "", "")


def test_a_cancelled_job_names_the_results_that_came_too_late_to_stop() -> None:
    ended = after(job(), CANCELLED, COMPLETED)
    assert (ended.state, ended.results) == (JobState.CANCELLED, (SEG,))


def test_a_completed_job_says_what_could_not_be_made_beside_its_results() -> None:
    done = after(job(), JobCompleted(ID, (SEG,), (LEFT_OUT,)))
    assert (done.state, done.results, done.left_out) == (JobState.COMPLETED, (SEG,), (LEFT_OUT,))


def test_a_failure_says_step_code_and_reason() -> None:
    ended = after(job(), released(), failed())
    assert (ended.step, ended.reason_code, ended.reason) == ("assemble", "not-a-volume", "the series is no volume")


def test_progress_moves_on_within_a_step_and_to_later_steps_only() -> None:
    start = after(job(), released())
    there = after(start, JobProgressed(ID, "infer", 3, 10))
    assert (there.step, there.done, there.total) == ("infer", 3, 10)
    assert after(there, JobProgressed(ID, "infer", 2, 10)) is there
    assert after(there, JobProgressed(ID, "deidentify", 100, 100)) is there
    assert after(there, JobProgressed(ID, "infer", 4, 10)).done == 4
    assert after(there, inferred()).step == "encode"


def test_progress_that_is_quicker_than_its_fact_is_kept_when_the_fact_comes() -> None:
    quick = after(job(), JobProgressed(ID, "infer", 3, 10), released())
    assert (quick.state, quick.step, quick.done) == (JobState.RELEASED, "infer", 3)


def test_a_retry_is_a_new_attempt_and_news_of_the_old_one_are_passed_over() -> None:
    old = after(job(), released(), failed())
    again = model.retried(old, [old])
    assert (again.state, again.attempt, again.step, again.reason, again.finished_at) == (
        JobState.WAITING,
        2,
        "deidentify",
        "",
        None,
    )
    for late in (released(1), inferred(1), failed(1)):
        assert model.hear(again, late, later(9)) is again
    assert after(again, released(2), inferred(2), COMPLETED).state is JobState.COMPLETED


@pytest.mark.parametrize("state", [state for state in JobState if state is not JobState.FAILED])
def test_only_a_failed_job_can_be_retried(state: JobState) -> None:
    with pytest.raises(JobConflictError, match="job-not-failed"):
        model.retried(job(state=state), [])


def test_a_job_of_an_outdated_revision_cannot_be_retried() -> None:
    old = job(state=JobState.FAILED)
    with pytest.raises(JobConflictError, match="job-superseded"):
        model.retried(old, [old, job(id="b" * 32, revision=2)])


@pytest.mark.parametrize("state", [JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED])
def test_a_job_that_has_ended_cannot_be_cancelled(state: JobState) -> None:
    with pytest.raises(JobConflictError, match="job-ended"):
        model.cancelled(job(state=state), "cancelled", "the job was cancelled", NOON)


def rule(of_series: Sequence[Job], *, revision: int = 1, models: Sequence[str] = ("ct-lung",)) -> Ruling:
    ids = count(100)
    return ruling.rule(
        settled(revision),
        [card(*name.split("@")) for name in models],
        of_series,
        at=NOON,
        trace_id="t",
        new_id=lambda: f"{next(ids):032x}",
    )


def test_each_model_gets_a_job_of_its_own() -> None:
    ruling = rule([], models=["ct-lung", "ct-bone"])
    assert [(new.model, new.state, new.supersedes) for new in ruling.requested] == [
        ("ct-lung", JobState.WAITING, ""),
        ("ct-bone", JobState.WAITING, ""),
    ]
    assert len({new.id for new in ruling.requested}) == 2


def test_a_series_that_settles_again_with_the_same_instances_brings_nothing() -> None:
    assert rule([job()]) == Ruling()
    assert rule([job(state=JobState.FAILED)]) == Ruling()


def test_an_older_revision_that_comes_late_brings_nothing() -> None:
    assert rule([job(revision=2, series_digest="d2")], revision=1) == Ruling()


def test_a_newer_revision_supersedes_the_completed_job() -> None:
    old = job(state=JobState.COMPLETED)
    ruling = rule([old], revision=2)
    assert [new.supersedes for new in ruling.requested] == [old.id]
    assert ruling.superseded == ()


def test_a_newer_revision_stops_the_unfinished_job_and_supersedes_it() -> None:
    old = job(state=JobState.INFERRED)
    ruling = rule([old], revision=2)
    assert [(stopped.id, stopped.state, stopped.reason_code) for stopped in ruling.superseded] == [
        (old.id, JobState.CANCELLED, "superseded")
    ]
    assert [new.supersedes for new in ruling.requested] == [old.id]


def test_a_result_that_is_there_is_superseded_rather_than_one_that_never_came() -> None:
    first, second = job(state=JobState.COMPLETED), job(id="b" * 32, revision=2, series_digest="d2")
    assert [new.supersedes for new in rule([first, second], revision=3).requested] == [first.id]


def test_a_failed_job_is_not_superseded() -> None:
    assert [new.supersedes for new in rule([job(state=JobState.FAILED)], revision=2).requested] == [""]


def test_jobs_of_other_models_are_left_alone() -> None:
    ruling = rule([job(model="ct-bone")], revision=2)
    assert (len(ruling.requested), ruling.superseded, ruling.requested[0].supersedes) == (1, (), "")


def test_a_new_version_of_a_model_runs_on_the_same_revision() -> None:
    old = job(state=JobState.COMPLETED)
    assert [new.supersedes for new in rule([old], models=["ct-lung@2.0.0"]).requested] == [old.id]


def test_a_query_matches_what_it_names() -> None:
    assert JobQuery().matches(job())
    assert JobQuery(study_instance_uid=STUDY, model="ct-lung", state=JobState.REQUESTED).matches(job())
    assert not JobQuery(series_instance_uid="9").matches(job())
    assert not JobQuery(job_id="b" * 32).matches(job())
