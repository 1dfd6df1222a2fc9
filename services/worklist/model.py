"""Jobs and their states: frozen values and pure rules.

waiting ─admit─▶ requested ─▶ released ─▶ inferred ─▶ completed
   │ └──────────────┴────────────┴───────────┴──────▶ failed ──retry──▶ waiting (attempt + 1)
   │ └──────────────┴────────────┴───────────┴──────▶ cancelled
   └─claim by a performer outside─▶ claimed ─▶ completed, cancelled, failed

Facts come from two streams and more than one process, so they may come late, twice or out of order. A step never goes
back; what has ended stays ended, with one exception: results that are durable complete a job that was given up for
failed, because they are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import assert_never

from services.contracts.events import (
    InputSeries,
    JobCancelled,
    JobCompleted,
    JobFailed,
    JobInferred,
    JobProgressed,
    JobReleased,
    LeftOut,
    Result,
)
from services.worklist.errors import JobConflictError

JobFact = JobReleased | JobInferred | JobCompleted | JobFailed | JobCancelled | JobProgressed
"""What the worklist hears of a job."""

CHANGES_IN_FLIGHT = 100
"""Changes are numbered before they are committed: a lower number may appear after a higher one. Who wants what came
after a number asks for this many more, and hears some twice."""


class Priority(StrEnum):
    """Scheduled Procedure Step Priority (0074,1200); HIGH is what people call STAT."""

    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"

    @property
    def rank(self) -> int:
        """0 comes first."""
        return list(Priority).index(self)


class Performer(StrEnum):
    """Who does the work."""

    MESH = "mesh"
    OUTSIDE = "outside"
    """Somebody else, who takes the work item by UPS-RS."""


class JobState(StrEnum):
    """Where a job is."""

    WAITING = "waiting"
    """For its turn, or for a performer outside."""
    CLAIMED = "claimed"
    """A performer outside has it."""
    REQUESTED = "requested"
    RELEASED = "released"
    INFERRED = "inferred"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing more is to be done."""
        return self in {JobState.COMPLETED, JobState.FAILED, JobState.CANCELLED}


class Step(StrEnum):
    """The work of a job, in its order."""

    DEIDENTIFY = "deidentify"
    QUARANTINE = "quarantine"
    """A person has to look at pixels first: `plexus quarantine list`."""
    ASSEMBLE = "assemble"
    INFER = "infer"
    ENCODE = "encode"
    STORE = "store"


_ORDER = {step: place for place, step in enumerate(Step)}


@dataclass(frozen=True, slots=True)
class Job:
    """One run of one model version on one revision of a series.

    Attributes:
        step: what is being done or waited for; of a failed job, what failed.
        done: how much of the step is done, out of `total`; 0 of 0 when nobody has said.
        supersedes: the job whose result this one replaces, or empty.
        attempt: 1, and 1 more for each retry.
        trace_id: of the first attempt.
        sender: with whom it shares a turn: who asked, who sent the series, or the study where nobody is known.
        run: 0, and 1 more for each time that somebody wanted it made again.
        trace_parent: where the newest attempt was asked for (W3C `traceparent`): what it brings belongs there.
        deadline: when it is given up if it has not ended.
        admitted_at: when the mesh, or a performer outside, took it.
        finished_at: when it completed, failed or was cancelled.
        shadow: the version of the model that runs beside it once it is completed, without results, or empty.
        shadowed_at: when that was asked for.
        change: grows with every change of any job; 0 before the job is kept.
        position: grows with every new job; 0 before the job is kept.
        inputs: the series that it takes beside the one that it is about.
        chosen: the names of the inputs whose series a person chose, or for which a person wanted none.
        not_before: when it may begin; None for at once.
        left_out: the kinds of objects that were to be made beside the results and could not be.
    """

    id: str
    model: str
    model_version: str
    study_instance_uid: str
    series_instance_uid: str
    revision: int
    series_digest: str
    requested_at: datetime
    state: JobState = JobState.WAITING
    step: str = Step.DEIDENTIFY
    done: int = 0
    total: int = 0
    reason_code: str = ""
    reason: str = ""
    supersedes: str = ""
    attempt: int = 1
    trace_id: str = ""
    released_at: datetime | None = None
    inferred_at: datetime | None = None
    finished_at: datetime | None = None
    results: tuple[Result, ...] = ()
    priority: Priority = Priority.MEDIUM
    performer: Performer = Performer.MESH
    sender: str = ""
    run: int = 0
    trace_parent: str = ""
    deadline: datetime | None = None
    admitted_at: datetime | None = None
    shadow: str = ""
    shadowed_at: datetime | None = None
    change: int = 0
    position: int = 0
    inputs: tuple[InputSeries, ...] = ()
    chosen: tuple[str, ...] = ()
    not_before: datetime | None = None
    left_out: tuple[LeftOut, ...] = ()

    @property
    def line(self) -> Line:
        """Of a model's jobs on a series, those of one line replace each other."""
        return line_of(self.inputs, self.chosen)


Line = tuple[tuple[str, str], ...]
"""What a person chose: inputs by their names, each with its series, "" for none. () is the line of the rules."""


def replaces(job: Job, inputs: Iterable[InputSeries], line: Line) -> bool:
    """Whether a new job of the model, with these inputs, comes in place of a job: of its line, or with the same series
    beside the same one, whoever chose them."""
    takes = [(one.name, one.series_instance_uid) for one in inputs]
    return job.line == line or takes == [(one.name, one.series_instance_uid) for one in job.inputs]


def line_of(inputs: Iterable[InputSeries], chosen: Sequence[str]) -> Line:
    """The line of a job with these inputs, of which a person chose some."""
    series = {one.name: one.series_instance_uid for one in inputs}
    return tuple((name, series.get(name, "")) for name in sorted(chosen))


@dataclass(frozen=True, slots=True)
class JobQuery:
    """Which jobs; an empty field means any.

    Attributes:
        before: only jobs of a smaller position, for the next page; 0 for the first.
        since: only jobs that changed after this change.
        beside: only jobs that take this series beside the one that they are about.
    """

    study_instance_uid: str = ""
    series_instance_uid: str = ""
    model: str = ""
    state: JobState | None = None
    job_id: str = ""
    before: int = 0
    since: int = 0
    limit: int = 100
    beside: str = ""

    def matches(self, job: Job) -> bool:
        """Whether a job is of those asked for, paging aside."""
        return (
            self.study_instance_uid in ("", job.study_instance_uid)
            and self.series_instance_uid in ("", job.series_instance_uid)
            and self.model in ("", job.model)
            and self.state in (None, job.state)
            and self.job_id in ("", job.id)
            and self.beside in ("", *(one.series_instance_uid for one in job.inputs))
        )


def hear(job: Job, fact: JobFact, at: datetime) -> Job:
    """The job after a fact was heard at a time; the same object if that changes nothing."""
    match fact:
        case JobReleased():
            return _reach(job, JobState.RELEASED, fact.attempt, at)
        case JobInferred():
            return _reach(job, JobState.INFERRED, fact.attempt, at)
        case JobCompleted():
            return _complete(job, fact, at)
        case JobFailed():
            if job.state.ended or fact.attempt != job.attempt:
                return job
            return _failed(job, fact, at)
        case JobCancelled():
            return job if job.state.ended else cancelled(job, "cancelled", "the job was cancelled", at)
        case JobProgressed():
            return _progress(job, fact)
        case _:
            assert_never(fact)


def _reach(job: Job, state: JobState, attempt: int, at: datetime) -> Job:
    """Released or inferred: unless the job is there already, and unless it is news of an earlier attempt."""
    if attempt != job.attempt or job.state in {JobState.FAILED, JobState.CANCELLED}:
        return job
    # Heard late, it was still said before what followed from it: no later than that.
    if state is JobState.RELEASED:
        at = min(moment for moment in (at, job.inferred_at, job.finished_at) if moment)
        job = job if job.released_at else replace(job, released_at=at)
        due, earlier = Step.ASSEMBLE, {JobState.WAITING, JobState.REQUESTED}
    else:
        at = min(moment for moment in (at, job.finished_at) if moment)
        job = job if job.inferred_at else replace(job, inferred_at=at)
        due, earlier = Step.ENCODE, {JobState.WAITING, JobState.REQUESTED, JobState.RELEASED}
    if job.state not in earlier:
        return job
    if _ORDER[Step(job.step)] < _ORDER[due]:  # progress may have been quicker than the fact
        job = replace(job, step=due, done=0, total=0)
    return replace(job, state=state)


def _complete(job: Job, fact: JobCompleted, at: datetime) -> Job:
    if job.state is JobState.COMPLETED:
        return job
    if job.state is JobState.CANCELLED:  # too late to stop it: what it made is in the archive, so the job names it
        return job if job.results else replace(job, results=fact.results, left_out=fact.left_out)
    return replace(
        job,
        state=JobState.COMPLETED,
        step=Step.STORE,
        done=len(fact.results),
        total=len(fact.results),
        reason_code="",
        reason="",
        finished_at=at,
        results=fact.results,
        left_out=fact.left_out,
    )


def _failed(job: Job, fact: JobFailed, at: datetime) -> Job:
    if fact.step != job.step:
        job = replace(job, step=fact.step, done=0, total=0)
    return replace(job, state=JobState.FAILED, reason_code=fact.reason_code, reason=fact.reason, finished_at=at)


def _progress(job: Job, fact: JobProgressed) -> Job:
    if job.state.ended or fact.step not in _ORDER:
        return job
    if (_ORDER[Step(fact.step)], fact.done, fact.total) <= (_ORDER[Step(job.step)], job.done, job.total):
        return job
    return replace(job, step=fact.step, done=fact.done, total=fact.total)


def cancelled(job: Job, code: str, reason: str, at: datetime) -> Job:
    """The job, stopped.

    Raises:
        JobConflictError: it has ended.
    """
    if job.state.ended:
        raise JobConflictError("job-ended", f"the job is {job.state}: it cannot be cancelled")
    return replace(job, state=JobState.CANCELLED, reason_code=code, reason=reason, finished_at=at)


def retried(job: Job, of_series: Iterable[Job]) -> Job:
    """The failed job, requested once more. `of_series`: every job of its series.

    Raises:
        JobConflictError: it has not failed, or a newer revision has a job.
    """
    if job.state is not JobState.FAILED:
        raise JobConflictError("job-not-failed", f"the job is {job.state}: only a failed job can be retried")
    if any(other.model == job.model and other.revision > job.revision for other in of_series):
        raise JobConflictError("job-superseded", "a newer revision of the series has a job of this model")
    return replace(
        job,
        state=JobState.WAITING,
        step=Step.DEIDENTIFY,
        done=0,
        total=0,
        reason_code="",
        reason="",
        attempt=job.attempt + 1,
        deadline=None,
        not_before=None,
        admitted_at=None,
        released_at=None,
        inferred_at=None,
        finished_at=None,
    )


def admitted(job: Job, at: datetime) -> Job:
    """The waiting job, whose turn it is."""
    return replace(job, state=JobState.REQUESTED, admitted_at=at)


def claimed(job: Job, at: datetime) -> Job:
    """The waiting job, taken by a performer outside: the mesh leaves it alone from now on."""
    return replace(job, state=JobState.CLAIMED, performer=Performer.OUTSIDE, admitted_at=at)


def performed(job: Job, results: tuple[Result, ...], at: datetime) -> Job:
    """The job, done by a performer outside."""
    total = len(results)
    return replace(
        job, state=JobState.COMPLETED, step=Step.STORE, done=total, total=total, finished_at=at, results=results
    )


def expired(job: Job, at: datetime) -> Job:
    """The job, given up because its deadline has passed."""
    reason = "the deadline passed before the job had ended"
    return replace(job, state=JobState.FAILED, reason_code="deadline-passed", reason=reason, finished_at=at)
