"""A person, or a work item, asks for a run of a model on a series."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import uuid4

from services.chassis import telemetry
from services.chassis.principal import Principal
from services.worklist import handlers, inputs
from services.worklist.errors import MissingInputError, NoSuchModelError, NothingToRunError, UnfitInputError
from services.worklist.inputs import Chosen, choose
from services.worklist.model import Job, JobState, Priority, line_of, replaces
from services.worklist.ports import Candidate, Decision, Facts, Jobs, Journal, Series, SeriesArchive
from services.worklist.ruling import performer_of
from services.worklist.ups.item import WorkItem
from services.worklist.ups.making import Input, item_of


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked for.

    Attributes:
        series_instance_uid: "" for every series of the study that the model's rule selects.
        force: make it again, also where it is there.
        inputs: series by the names of the model's further inputs, where its rules are not to choose; "" for none.
        not_before: when it may begin; None for at once.
    """

    model: str
    study_instance_uid: str
    series_instance_uid: str = ""
    priority: Priority = Priority.MEDIUM
    deadline: datetime | None = None
    force: bool = False
    inputs: Mapping[str, str] = field(default_factory=dict)
    not_before: datetime | None = None


async def ask(
    wish: Wish,
    *,
    principal: Principal,
    candidates: Sequence[Candidate],
    archive: SeriesArchive,
    jobs: Jobs,
    journal: Journal,
    dicomweb: str,
) -> list[Job]:
    """The jobs that do what is asked for: new ones, or those that are there.

    A series that is named is run whether or not the rule selects it: a person may know better.

    Raises:
        NoSuchModelError: there is no model of this name.
        NothingToRunError: no series of the study is one that the model takes.
        MissingInputError: the model takes further series, and one is not there.
        UnfitInputError: one that was chosen cannot be taken.
    """
    candidate = called(wish.model, candidates)
    if wish.series_instance_uid:
        uids: Sequence[str] = [wish.series_instance_uid]
    else:
        uids = await archive.series_of(wish.study_instance_uid)
    chosen = {uid: name for name, uid in wish.inputs.items()}
    found, missing, named = [], None, ""
    for uid in uids:
        if uid in chosen:  # it goes beside another series of the study, if there is one
            named = chosen[uid]
            continue
        series = await archive.describe(wish.study_instance_uid, uid)
        if wish.series_instance_uid or handlers.selected([candidate], series.attributes, series.instances, journal):
            source = await _source(wish.study_instance_uid, uid, series, archive)
            beside = await choose(candidate, source, archive=archive, journal=journal, named=wish.inputs)
            if beside.missing:
                missing = beside.missing
                continue
            found.append(
                await _one(
                    wish, candidate, source, series, beside=beside, principal=principal, jobs=jobs, dicomweb=dicomweb
                )
            )
    if not found and missing:
        raise MissingInputError(wish.model, missing)
    if not found:
        raise UnfitInputError(inputs.the_main_one(named)) if named else NothingToRunError(wish.model)
    return found


async def for_item(
    wish: Wish,
    item: Callable[[str], WorkItem],
    *,
    principal: Principal,
    candidates: Sequence[Candidate],
    archive: SeriesArchive,
    jobs: Jobs,
    journal: Journal,
    more: Sequence[str] = (),
) -> Job:
    """The job of a work item that somebody creates for a model of ours: a new one, or one that is there and holds.

    Args:
        item: the work item, of the job of an id.
        more: series for the model's further inputs, in their order.

    Raises:
        MissingInputError, UnfitInputError: as `ask`.
    """
    candidate = called(wish.model, candidates)
    uid = wish.series_instance_uid
    series = await archive.describe(wish.study_instance_uid, uid)
    source = Input(wish.study_instance_uid, uid, series.attributes)
    names = [one.name for one in candidate.card.more_inputs]
    if len(more) > len(names):
        raise UnfitInputError(f"{wish.model} takes {1 + len(names)} series, and the work item names {1 + len(more)}")
    named = dict(zip(names, more, strict=False))
    beside = await choose(candidate, source, archive=archive, journal=journal, named=named)
    if beside.missing:
        raise MissingInputError(wish.model, beside.missing)
    return await _one(
        wish, candidate, source, series, beside=beside, principal=principal, jobs=jobs, dicomweb="", item=item
    )


def called(name: str, candidates: Sequence[Candidate]) -> Candidate:
    """The model of a name.

    Raises:
        NoSuchModelError: there is none.
    """
    for candidate in candidates:
        if candidate.card.name == name:
            return candidate
    raise NoSuchModelError


async def _source(study: str, uid: str, series: Series, archive: SeriesArchive) -> Input:
    return Input(study, uid, series.attributes, await archive.references(study, uid))


async def _one(
    wish: Wish,
    candidate: Candidate,
    source: Input,
    series: Series,
    *,
    beside: Chosen,
    principal: Principal,
    jobs: Jobs,
    dicomweb: str,
    item: Callable[[str], WorkItem] | None = None,
) -> Job:
    card, at, line = candidate.card, handlers.now(), line_of(beside.series, beside.named)

    def decide(of_series: Sequence[Job]) -> Decision:
        same = [
            job
            for job in of_series
            if (job.model, job.model_version, job.series_digest) == (card.name, card.version, series.digest)
        ]
        there = next((job for job in reversed(same) if job.inputs == beside.series), None)
        if there is not None and not wish.force:
            kept, facts = _kept(there, wish, beside, principal)
            if item is None:
                return Decision((kept,), facts)
            if there.state not in {JobState.FAILED, JobState.CANCELLED}:
                return Decision((kept,), facts, (item(there.id),))
        revisions = [job.revision for job in of_series if job.series_digest == series.digest]
        done = [
            job
            for job in of_series
            if (job.model, job.state) == (card.name, JobState.COMPLETED) and replaces(job, beside.series, line)
        ]
        job = Job(
            id=uuid4().hex,
            model=card.name,
            model_version=card.version,
            study_instance_uid=source.study_instance_uid,
            series_instance_uid=source.series_instance_uid,
            revision=max(series.revision, *revisions, 0),
            series_digest=series.digest,
            requested_at=at,
            supersedes=done[-1].id if done else "",
            trace_id=telemetry.trace_id(),
            trace_parent=handlers.trace_parent_now(),
            priority=wish.priority,
            performer=performer_of(card),
            sender=source.study_instance_uid if principal.subject == "local" else principal.subject,
            run=max((each.run + 1 for each in same), default=0),
            deadline=wish.deadline,
            not_before=wish.not_before,
            inputs=beside.series,
            chosen=beside.named,
            shadow=candidate.shadow if not any(_counts(each, candidate.shadow) for each in same) else "",
        )
        made = item(job.id) if item else item_of(job, card, source, dicomweb, at, more=beside.described)
        return Decision((job,), ((handlers.audit(job, principal, "asked"), None),), (made,))

    decision = await jobs.decide_on_series(source.study_instance_uid, source.series_instance_uid, decide)
    return decision.jobs[0]


def _kept(there: Job, wish: Wish, beside: Chosen, principal: Principal) -> tuple[Job, Facts]:
    """A job that does what is asked: as urgent and as soon as that is, and what a person chooses stays."""
    after, facts = there, []
    chosen = tuple(sorted({*there.chosen, *beside.named}))
    if chosen != tuple(sorted(there.chosen)):
        after = replace(after, chosen=chosen)
        facts.append((handlers.audit(there, principal, "input-chosen"), None))
    if wish.not_before is None and there.not_before is not None and there.state is JobState.WAITING:
        after = replace(after, not_before=None)
        facts.append((handlers.audit(there, principal, "brought-forward"), None))
    if wish.priority.rank < there.priority.rank and not there.state.ended:
        after = replace(after, priority=wish.priority)
        facts.append((handlers.audit(there, principal, "hurried"), None))
    return after, tuple(facts)


def _counts(job: Job, shadow: str) -> bool:
    """Whether the input of a job is, or will be, in what is found of a shadow: it must not count twice."""
    return job.shadow == shadow and job.state not in {JobState.FAILED, JobState.CANCELLED}
