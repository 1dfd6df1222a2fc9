"""The use cases: a released input becomes a result; a job that cannot go on says why."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from time import perf_counter
from typing import Any, TypeVar

from numpy.typing import NDArray

from services.chassis import telemetry
from services.chassis.faults import Fault
from services.chassis.principal import Principal
from services.contracts import events as said
from services.contracts import telemetry as names
from services.contracts.card import ModelCard
from services.contracts.events import AuditRecorded, Event, JobFailed, JobInferred, JobProgressed, JobReleased
from services.contracts.remote import remote_of
from services.contracts.work import result_key
from services.inference import assembly
from services.inference.errors import (
    ModelFailed,
    ModelNotLoaded,
    ModelTooSlow,
    ModelUnknown,
    OutputMismatch,
    RemoteNotAllowed,
    RemoteUnavailable,
    TritonUnavailable,
)
from services.inference.manifest import Entry, Manifest, read_manifest
from services.inference.model import Outcome
from services.inference.ports import Cards, Events, ModelServer, Reader, ResultFormat, WorkStore
from services.inference.promises import check

_OF_THE_MODEL = (
    ModelFailed,
    ModelNotLoaded,
    ModelTooSlow,
    ModelUnknown,
    OutputMismatch,
    RemoteNotAllowed,
    RemoteUnavailable,
    TritonUnavailable,
)
MadeT = TypeVar("MadeT")
Mention = Callable[[Event], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one job may take.

    Attributes:
        parallel: slices in hand at a time.
        volume_max_bytes: largest volume.
    """

    parallel: int = 2
    volume_max_bytes: int = 2_000_000_000


async def infer_job(
    event: JobReleased,
    *,
    cards: Cards,
    work: WorkStore,
    reader: Reader,
    models: ModelServer,
    results: ResultFormat,
    events: Events,
    limits: Limits,
) -> None:
    """Run the model on the released input, keep the result, and say so.

    Idempotent: a result that is there and whole is not made again, it is only announced again.

    Raises:
        Fault: see `services.inference.errors`.
    """
    key = result_key(event.job_id)
    result = await work.find(key)
    if result is None or not await asyncio.to_thread(results.is_whole, result, event.job_id):
        card = await asyncio.to_thread(cards.find, event.model, event.model_version)
        if card is None:
            raise ModelUnknown(event.model, event.model_version)
        damaged = result is not None
        await events.mention(JobProgressed(event.job_id, "assemble", 0, event.instances))
        manifest = read_manifest(await work.read(event.input), event)
        made = await run_model(
            event.job_id,
            manifest,
            card,
            results.pack,
            work=work,
            reader=reader,
            models=models,
            mention=events.mention,
            limits=limits,
            before=partial(_record_transfer, event, card, events=events),
        )
        with telemetry.span(names.SPAN_KEEP_RESULT, {names.JOB_ID: event.job_id, names.BYTES: len(made)}):
            # Another process may have been quicker with the same job: then its result is the result.
            kept = await work.keep(key, made, replace=damaged)
        result = made if kept else await work.read(key)
    digest = await asyncio.to_thread(lambda: hashlib.sha256(result).hexdigest())
    await _record(event, said.Outcome.SUCCESS, events=events)
    await events.say(
        JobInferred(event.job_id, event.model, event.model_version, key, digest, event.attempt),
        message_id=f"{event.job_id}.{event.attempt}.inferred",
    )


async def run_model(
    job_id: str,
    manifest: Manifest,
    card: ModelCard,
    use: Callable[[Outcome], MadeT],
    *,
    work: WorkStore,
    reader: Reader,
    models: ModelServer,
    mention: Mention,
    limits: Limits,
    before: Callable[[], Awaitable[None]] | None = None,
) -> MadeT:
    """Run a version on a job's input; gives what `use` makes of its checked answer, in a thread.

    Args:
        before: what is done once the input is whole, and before the model gets it.

    Raises:
        Fault: see `services.inference.errors`.
    """
    started = perf_counter()
    attributes = {names.JOB_ID: job_id, names.MODEL: card.name, names.MODEL_VERSION: card.version}
    async with AsyncExitStack() as stack:
        with telemetry.span(names.SPAN_ASSEMBLE, {**attributes, names.INSTANCES: manifest.instances}):
            layout, more = await assembly.read_layouts(
                manifest, card, work=work, reader=reader, parallel=limits.parallel, max_bytes=limits.volume_max_bytes
            )
            geometry, beside = layout.geometry, {name: one.geometry for name, one in more.items()}
            shapes = {name: one.shape for name, one in beside.items()}
            room = await stack.enter_async_context(models.room(card, geometry.shape, shapes))
            parts = [(room.volume, manifest.entries, layout)]
            parts += [(room.more[name], manifest.more[name], one) for name, one in more.items()]
            await _fill(parts, job_id, work=work, reader=reader, mention=mention, limits=limits)
        assembled = perf_counter()
        await mention(JobProgressed(job_id, "infer", 0, 1))
        if before is not None:
            await before()
        with telemetry.span(names.SPAN_INFER, attributes):
            prediction = await room.infer(geometry, beside)
            await asyncio.to_thread(check, prediction, card, geometry.shape)
        inferred = perf_counter()
        frames = tuple((manifest.entries[index].sop_instance_uid, frame) for index, frame in layout.places)
        compute: dict[str, float | str | bool] = {
            "assemble_seconds": round(assembled - started, 3),
            "infer_seconds": round(inferred - assembled, 3),
            "tensors_by": room.means,
        }
        # Before the room is left: the answer may lie in it.
        made = await asyncio.to_thread(use, Outcome(job_id, card, geometry, frames, prediction, compute))
    await mention(JobProgressed(job_id, "infer", 1, 1))
    return made


async def _fill(
    parts: Sequence[tuple[NDArray[Any], tuple[Entry, ...], assembly.Layout]],
    job_id: str,
    *,
    work: WorkStore,
    reader: Reader,
    mention: Mention,
    limits: Limits,
) -> None:
    """Decode each input into its array."""
    total, before = sum(len(entries) for _, entries, _ in parts), 0
    every = max(1, total // 10)

    async def progress(done: int) -> None:
        done += before
        if done % every == 0 or done == total:
            await mention(JobProgressed(job_id, "assemble", done, total))

    for array, entries, layout in parts:
        await assembly.fill(
            array, entries, layout, work=work, reader=reader, parallel=limits.parallel, progress=progress
        )
        before += len(entries)


async def fail_job(event: JobReleased, fault: Fault, *, events: Events) -> None:
    """Say that the job cannot go on, and why. Idempotent."""
    step = "infer" if isinstance(fault, _OF_THE_MODEL) else "assemble"
    await _record(event, said.Outcome.FAILURE, code=fault.code, events=events)
    await events.say(
        JobFailed(event.job_id, step, fault.code, fault.reason, event.attempt),
        message_id=f"{event.job_id}.{event.attempt}.failed",
    )


async def _record_transfer(event: JobReleased, card: ModelCard, *, events: Events) -> None:
    """Put on record that the volume goes to another system, before it does, if it does."""
    remote = remote_of(card)
    if remote is None:
        return
    caller = Principal.service("inference")
    record_id = f"{event.job_id}.{event.attempt}.sent"
    await events.say(
        AuditRecorded(
            record_id=record_id,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            service="inference",
            action=said.Action.TRANSFER_OUT,
            outcome=said.Outcome.SUCCESS,
            caller=caller.subject,
            proved_by=caller.proved_by,
            job_id=event.job_id,
            instances=event.instances,
            trace_id=telemetry.trace_id(),
            detail="deidentified",
            destination=remote.address,
            destination_address=remote.host,
        ),
        message_id=record_id,
    )


async def _record(event: JobReleased, outcome: said.Outcome, *, code: str = "", events: Events) -> None:
    # Named after the job, not at random: a job that is delivered again is one line in the log of accesses.
    record_id = f"{event.job_id}.{event.attempt}.infer.{outcome}"
    await record(event.job_id, record_id, outcome, code=code, detail="model", instances=event.instances, events=events)


async def record(
    job_id: str,
    record_id: str,
    outcome: said.Outcome,
    *,
    code: str = "",
    detail: str,
    instances: int = 0,
    events: Events,
) -> None:
    """Say to the log of accesses that a model has run on a job's input; the same `record_id` once."""
    caller = Principal.service("inference")
    await events.say(
        AuditRecorded(
            record_id=record_id,
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            service="inference",
            action=said.Action.JOB,
            outcome=outcome,
            reason_code=code,
            caller=caller.subject,
            proved_by=caller.proved_by,
            job_id=job_id,
            instances=instances,
            trace_id=telemetry.trace_id(),
            detail=detail,
        ),
        message_id=record_id,
    )
