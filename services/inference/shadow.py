"""A candidate runs beside a job that is completed, on the job's input; of its answer nothing is kept but figures."""

from __future__ import annotations

import asyncio
from functools import partial

from services.chassis import telemetry
from services.chassis.faults import Fault, PermanentFault
from services.contracts import events as said
from services.contracts import telemetry as names
from services.contracts.events import Event, Figure, ShadowCompared, ShadowRequested
from services.contracts.work import manifest_key, result_key
from services.inference.agreement import figures
from services.inference.errors import InputDamaged, ModelUnknown
from services.inference.handlers import Limits, record, run_model
from services.inference.manifest import manifest_of
from services.inference.model import Answer, Outcome
from services.inference.ports import Cards, Events, ModelServer, Reader, ResultFormat, WorkStore


async def compare_shadow(
    event: ShadowRequested,
    *,
    cards: Cards,
    work: WorkStore,
    reader: Reader,
    models: ModelServer,
    results: ResultFormat,
    events: Events,
    limits: Limits,
) -> ShadowCompared:
    """Run the candidate, compare its answer with the job's result, and say the figures; or why there are none.

    Raises:
        PassingFault: see `services.inference.errors`.
    """
    try:
        with telemetry.span(names.SPAN_COMPARE, {names.JOB_ID: event.job_id, names.MODEL: event.model}):
            compared = await _compared(
                event, cards=cards, work=work, reader=reader, models=models, results=results, limits=limits
            )
    except PermanentFault as fault:
        return await fail_shadow(event, fault, events=events)
    await _say(compared, events=events)
    return compared


async def fail_shadow(event: ShadowRequested, fault: Fault, *, events: Events) -> ShadowCompared:
    """Say that the candidate gave nothing to compare, and why. Idempotent."""
    failed = ShadowCompared(event.job_id, event.model, event.model_version, event.candidate, fault.code, fault.reason)
    await _say(failed, events=events)
    return failed


async def _compared(
    event: ShadowRequested,
    *,
    cards: Cards,
    work: WorkStore,
    reader: Reader,
    models: ModelServer,
    results: ResultFormat,
    limits: Limits,
) -> ShadowCompared:
    card = await asyncio.to_thread(cards.find, event.model, event.candidate)
    if card is None:
        raise ModelUnknown(event.model, event.candidate)
    result = await work.find(result_key(event.job_id))
    if result is None:
        raise InputDamaged("lacks the result of the job")
    data = await work.read(manifest_key(event.job_id))
    manifest = manifest_of(data, event.job_id, event.model, event.model_version)
    active_seconds, candidate_seconds, found = await run_model(
        event.job_id,
        manifest,
        card,
        partial(_agreement, event, result, results),
        work=work,
        reader=reader,
        models=models,
        mention=_silence,
        limits=limits,
    )
    return ShadowCompared(
        event.job_id,
        event.model,
        event.model_version,
        event.candidate,
        active_seconds=active_seconds,
        candidate_seconds=candidate_seconds,
        figures=found,
    )


def _agreement(
    event: ShadowRequested, result: bytes, results: ResultFormat, outcome: Outcome
) -> tuple[float, float, tuple[Figure, ...]]:
    active = results.unpack(result, event.job_id)
    if (active.card.name, active.card.version) != (event.model, event.model_version):
        raise InputDamaged("lies beside the result of another version")
    seconds = float(outcome.compute["infer_seconds"])
    candidate = Answer(outcome.card, outcome.frames, outcome.prediction.arrays(), seconds)
    return active.seconds, candidate.seconds, figures(active, candidate)


async def _silence(_: Event) -> None:
    """How far a shadow is, is nobody's progress."""


async def _say(compared: ShadowCompared, *, events: Events) -> None:
    outcome = said.Outcome.FAILURE if compared.reason_code else said.Outcome.SUCCESS
    run = f"{compared.job_id}.shadow.{compared.candidate}"
    await record(
        compared.job_id, f"{run}.{outcome}", outcome, code=compared.reason_code, detail="shadow", events=events
    )
    await events.say(compared, message_id=f"{run}.compared")
