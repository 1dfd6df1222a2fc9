"""What the worklist does when a series settles, when it hears of a job, and when a person asks.

Every one is idempotent: the decision is made on the jobs as they are kept, in the transaction that keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, tzinfo
from functools import partial
from uuid import uuid4

from services.chassis import telemetry
from services.chassis.principal import Principal
from services.contracts import records
from services.contracts import telemetry as names
from services.contracts.card import ModelCard
from services.contracts.events import (
    Action,
    AuditRecorded,
    JobCancelled,
    JobRequested,
    Outcome,
    SeriesSettled,
)
from services.selection.errors import RuleFailedError
from services.worklist import choices, model
from services.worklist.errors import NoSuchJobError
from services.worklist.inputs import Chosen, choose, takers
from services.worklist.model import Job, JobFact, Performer
from services.worklist.ports import Attributes, Candidate, Decision, Facts, Jobs, Journal, SeriesArchive
from services.worklist.results import maker_of
from services.worklist.ruling import performer_of, rule
from services.worklist.turns import Rules, pick
from services.worklist.ups.making import Input, item_of

_SELF = Principal.service("worklist")


async def select(
    settled: SeriesSettled,
    *,
    candidates: Sequence[Candidate],
    archive: SeriesArchive,
    jobs: Jobs,
    journal: Journal,
    dicomweb: str = "",
    zone: tzinfo | None = UTC,
) -> None:
    """A series has settled: a job of each model whose rule selects it, unless a job of ours has made the series.

    A model that takes further series runs when all that it needs are there; so does one that waited for this series.
    """
    study, uid = settled.study_instance_uid, settled.series_instance_uid
    with telemetry.span(
        names.SPAN_SELECT, {names.REVISION: settled.revision, names.INSTANCES: settled.instances}
    ) as span:
        series = await archive.describe(study, uid)
        maker = maker_of(series.attributes)
        if maker and await jobs.get(maker) is not None:
            return
        shadows = {candidate.card.name: candidate.shadow for candidate in candidates}
        automatic = [candidate for candidate in candidates if candidate.card.automatic]
        cards = selected(automatic, series.attributes, settled.instances, journal)
        source = Input(study, uid, series.attributes, await archive.references(study, uid) if cards else ())
        by_name = {candidate.card.name: candidate for candidate in automatic}
        beside = {
            card.name: await choose(by_name[card.name], source, archive=archive, journal=journal)
            for card in cards
            if card.more_inputs
        }
        runnable = [card for card in cards if card.name not in beside or not beside[card.name].missing]
        decide = partial(_decide, jobs=jobs, shadows=shadows, dicomweb=dicomweb, zone=zone)
        decided = []
        for card in (card for card in cards if card.more_inputs):
            of_model = by_name[card.name]
            again = await choices.again(of_model, settled, source, jobs=jobs, archive=archive, journal=journal)
            for chosen in again:
                decided.append(await decide(settled, [card], source, {card.name: chosen}))
        decided.append(await decide(settled, runnable, source, beside))
        several = [candidate for candidate in automatic if candidate.card.more_inputs]
        async for candidate, main, there, chosen in takers(several, source, series, archive=archive, journal=journal):
            of_main = replace(
                settled,
                study_instance_uid=main.study_instance_uid,
                series_instance_uid=main.series_instance_uid,
                revision=there.revision,
                digest=there.digest,
                instances=there.instances,
            )
            references = await archive.references(main.study_instance_uid, main.series_instance_uid)
            main = replace(main, references=references)  # noqa: PLW2901  # the same, with what its work item names
            card = candidate.card
            decided.append(await decide(of_main, [card], main, {card.name: chosen}))
        if several:
            grown = choices.beside(settled, several, jobs=jobs, archive=archive, journal=journal)
            async for candidate, of_main, main, chosen in grown:
                decided.append(await decide(of_main, [candidate.card], main, {candidate.card.name: chosen}))
        changed = [job for decision in decided for job in decision.jobs]
        requested = [job for job in changed if not job.state.ended]
        span.set_attribute(names.MODEL, ",".join(job.model for job in requested))
    lacking = {name: [one.name for one in chosen.missing] for name, chosen in beside.items() if chosen.missing}
    journal.info(
        "series.ruled",
        revision=settled.revision,
        instances=settled.instances,
        selected=[card.name for card in cards],
        **({"lacking": lacking} if lacking else {}),
        jobs=[job.id for job in requested],
        superseded=[job.id for job in changed if job.state.ended],
    )


async def _decide(
    settled: SeriesSettled,
    cards: Sequence[ModelCard],
    source: Input,
    beside: Mapping[str, Chosen],
    *,
    jobs: Jobs,
    shadows: Mapping[str, str],
    dicomweb: str,
    zone: tzinfo | None,
) -> Decision:
    """The jobs of models on a series that has settled, with what they take beside it."""
    at, trace_id, trace_parent = now(), telemetry.trace_id(), trace_parent_now()

    def decide(of_series: Sequence[Job]) -> Decision:
        ruling = rule(
            settled,
            cards,
            of_series,
            at=at,
            trace_id=trace_id,
            trace_parent=trace_parent,
            new_id=lambda: uuid4().hex,
            inputs={name: chosen.series for name, chosen in beside.items()},
            chosen={name: chosen.named for name, chosen in beside.items()},
            shadows=shadows,
            zone=zone,
        )
        facts = [fact for job in ruling.superseded for fact in cancelled_facts(job, _SELF, "superseded")]
        facts += [(audit(job, _SELF, "requested"), None) for job in ruling.requested]
        by_name = {card.name: card for card in cards}
        items = tuple(
            item_of(job, by_name[job.model], source, dicomweb, at, more=beside.get(job.model, Chosen()).described)
            for job in ruling.requested
        )
        return Decision((*ruling.superseded, *ruling.requested), tuple(facts), items)

    return await jobs.decide_on_series(source.study_instance_uid, source.series_instance_uid, decide)


async def admit(at: datetime, *, rules: Rules, jobs: Jobs) -> Sequence[Job]:
    """Let the jobs in whose turn it is: from now on the mesh works on them."""

    def decide(job: Job) -> Decision:
        after = model.admitted(job, at)
        return Decision((after,), ((_requested(after), f"{job.id}.{job.attempt}.requested"),))

    return await jobs.decide_on_waiting(at, rules.most, lambda waiting, busy: pick(waiting, busy, at, rules), decide)


async def expire(at: datetime, *, jobs: Jobs, journal: Journal) -> None:
    """Give up the jobs whose deadline has passed; what works on them stops."""

    def decide(job: Job) -> Decision:
        facts: Facts = ((audit(job, _SELF, "expired"), None),)
        return Decision((model.expired(job, at),), (*_stopped(job), *facts))

    for job in await jobs.decide_on_overdue(at, decide):
        journal.warning("job.expired", job_id=job.id, model=job.model)


def selected(
    candidates: Sequence[Candidate], attributes: Attributes, instances: int, journal: Journal
) -> list[ModelCard]:
    """The models whose rule holds; one that fails does not hold, and the log says which."""
    cards = []
    for candidate in candidates:
        try:
            if candidate.rule.selects(attributes, instances):
                cards.append(candidate.card)
        except RuleFailedError as error:
            journal.warning("rule.failed", model=candidate.card.name, error=error.kind)
    return cards


async def hear(fact: JobFact, *, jobs: Jobs, journal: Journal) -> None:
    """A job moved: keep where it is now."""
    at = now()

    def decide(job: Job) -> Decision:
        after = model.hear(job, fact, at)
        return Decision() if after is job else Decision((after,))

    decision = await jobs.decide_on_job(fact.job_id, decide)
    if decision is None:
        journal.warning("job.unknown", job_id=fact.job_id, subject=fact.subject)


async def retry(job_id: str, *, principal: Principal, jobs: Jobs, candidates: Sequence[Candidate] = ()) -> Job:
    """A person asks for a failed job once more. Who had claimed it has no right to it any more.

    Args:
        candidates: the models in use: they say who performs it.

    Raises:
        NoSuchJobError: there is none of this id.
        JobConflictError: it has not failed, or a newer revision has a job.
    """
    asked = await jobs.get(job_id)
    if asked is None:
        raise NoSuchJobError

    def decide(of_series: Sequence[Job]) -> Decision:
        job = next(job for job in of_series if job.id == job_id)  # jobs are never deleted
        performers = {each.card.name: performer_of(each.card) for each in candidates}
        after = replace(
            model.retried(job, of_series),
            performer=performers.get(job.model, job.performer),
            trace_parent=trace_parent_now(),
        )
        return Decision((after,), ((audit(after, principal, "retried"), None),))

    decision = await jobs.decide_on_series(asked.study_instance_uid, asked.series_instance_uid, decide)
    return decision.jobs[0]


async def cancel(job_id: str, *, principal: Principal, jobs: Jobs) -> Job:
    """A person stops a job.

    Raises:
        NoSuchJobError: there is none of this id.
        JobConflictError: it has ended.
    """
    at = now()

    def decide(job: Job) -> Decision:
        after = model.cancelled(job, "cancelled", "the job was cancelled", at)
        return Decision((after,), cancelled_facts(job, principal, "cancelled"))

    decision = await jobs.decide_on_job(job_id, decide)
    if decision is None:
        raise NoSuchJobError
    return decision.jobs[0]


def _requested(job: Job) -> JobRequested:
    return JobRequested(
        job_id=job.id,
        study_instance_uid=job.study_instance_uid,
        series_instance_uid=job.series_instance_uid,
        revision=job.revision,
        series_digest=job.series_digest,
        model=job.model,
        model_version=job.model_version,
        supersedes=job.supersedes,
        attempt=job.attempt,
        inputs=job.inputs,
    )


def cancelled_facts(job: Job, principal: Principal, detail: str) -> Facts:
    """What is said when a job is stopped: to whoever works on it, and to the log."""
    return (*_stopped(job), (audit(job, principal, detail), None))


def _stopped(job: Job) -> Facts:
    if job.performer is Performer.OUTSIDE or job.admitted_at is None:
        return ()  # nobody of the mesh has heard of it
    return ((JobCancelled(job_id=job.id, attempt=job.attempt), f"{job.id}.{job.attempt}.cancelled"),)


def audit(job: Job, principal: Principal, detail: str) -> AuditRecorded:
    """The record of what was done with a job."""
    return records.of(
        "worklist",
        Action.JOB,
        Outcome.SUCCESS,
        principal,
        study_instance_uid=job.study_instance_uid,
        series_instance_uid=job.series_instance_uid,
        job_id=job.id,
        trace_id=telemetry.trace_id(),
        detail=detail,
    )


def trace_parent_now() -> str:
    """The current trace context, for what comes of it later."""
    return telemetry.inject().get("traceparent", "")


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)
