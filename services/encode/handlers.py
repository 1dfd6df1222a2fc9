"""The use cases: a job's result becomes documents of its study; a job that cannot go on says why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

from services.chassis import telemetry
from services.chassis.faults import Fault
from services.chassis.principal import Principal
from services.contracts import records
from services.contracts.events import (
    Action,
    JobCompleted,
    JobFailed,
    JobInferred,
    JobProgressed,
    LeftOut,
    Outcome,
    Result,
)
from services.encode.errors import CardMismatch, StoreRefused, StoreUnavailable
from services.encode.model import Encoded, InstanceName, Kind, Names, Original, Task
from services.encode.plan import kinds_of, pictures_of
from services.encode.ports import Airlock, Encoder, Events, FrontDoor, ResultStore, SourceArchive
from services.encode.result import InferredResult

Unpack = Callable[[JobInferred, bytes, datetime], InferredResult]
"""Bytes of a result, checked against the event that tells of it."""


async def encode_job(
    event: JobInferred,
    *,
    results: ResultStore,
    unpack: Unpack,
    airlock: Airlock,
    archive: SourceArchive,
    encoder: Encoder,
    front_door: FrontDoor,
    events: Events,
    names: Names,
) -> tuple[LeftOut, ...]:
    """Make the documents of the job, store them, and say that it is done; what had to be left out comes back.

    Idempotent: the documents have the same names each time, and the front door keeps the first of a name.

    Raises:
        Fault: see `services.encode.errors`.
    """
    job_id = event.job_id
    await events.mention(JobProgressed(job_id, "encode", 0, 1))
    data, made_at = await results.read(event.result)
    result = await asyncio.to_thread(unpack, event, data, made_at)
    del data
    original = await airlock.reidentify(job_id)
    sources = _originals(result, original)
    headers = await archive.headers(original, list(dict.fromkeys(sources)))
    # What a result was made of has to be there: a reference must lead somewhere.
    beside = [await archive.headers(one, one.sop_instance_uids) for one in original.inputs]
    pictures = {}
    for uid in dict.fromkeys(sources[plane] for plane in pictures_of(result)):
        if (found := await archive.pixels(original, uid)) is not None:
            pictures[uid] = found
    predecessors = await _predecessors(result, original, archive=archive, names=names)
    task = Task(result, original, headers, names, predecessors, pictures, beside)
    # In a thread: the bus must go on saying that this message is in hand.
    encoded = await asyncio.to_thread(encoder.encode, task)
    documents = encoded.documents
    del result, task
    await events.mention(JobProgressed(job_id, "encode", 1, 1))
    await events.mention(JobProgressed(job_id, "store", 0, len(documents)))
    await front_door.store(documents)
    await events.mention(JobProgressed(job_id, "store", len(documents), len(documents)))
    await _say_completed(job_id, encoded, events=events)
    return encoded.left_out


def _originals(result: InferredResult, original: Original) -> list[str]:
    """The original SOP Instance UIDs of the planes, in their order."""
    uids = [original.sop_instance_uids.get(frame.sop_instance_uid, "") for frame in result.frames]
    if missing := uids.count(""):
        raise CardMismatch(f"{missing} planes belong to no instance that was released")
    return uids


async def _predecessors(
    result: InferredResult, original: Original, *, archive: SourceArchive, names: Names
) -> dict[Kind, InstanceName]:
    """The documents of the job that this one replaces, where it made them: a reference must lead somewhere."""
    found: dict[Kind, InstanceName] = {}
    if not original.supersedes:
        return found
    for kind in (*kinds_of(result), Kind.SR):  # the report is made whenever nothing else says that nothing was found
        name = names.instance(original.supersedes, kind)
        if await archive.holds(original.study_instance_uid, name.series_instance_uid, name.sop_instance_uid):
            found[kind] = name
    return found


async def _say_completed(job_id: str, encoded: Encoded, *, events: Events) -> None:
    documents = encoded.documents
    results = tuple(
        Result(
            document.kind,
            document.study_instance_uid,
            document.series_instance_uid,
            document.sop_instance_uid,
            document.sop_class_uid,
        )
        for document in documents
    )
    study = documents[0].study_instance_uid
    await _record(job_id, Outcome.SUCCESS, study=study, instances=len(documents), events=events)
    await events.say(JobCompleted(job_id, results, encoded.left_out), message_id=f"{job_id}.completed")


async def fail_job(event: JobInferred, fault: Fault, *, events: Events) -> None:
    """Say that the job cannot go on, and why. Idempotent."""
    step = "store" if isinstance(fault, StoreRefused | StoreUnavailable) else "encode"
    await _record(event.job_id, Outcome.FAILURE, code=fault.code, attempt=event.attempt, events=events)
    await events.say(
        JobFailed(event.job_id, step, fault.code, fault.reason, event.attempt),
        message_id=f"{event.job_id}.{event.attempt}.failed",
    )


async def _record(
    job_id: str,
    outcome: Outcome,
    *,
    study: str = "",
    instances: int = 0,
    code: str = "",
    attempt: int = 1,
    events: Events,
) -> None:
    # Named after the job, not at random: a job that is delivered again is one line in the log of accesses.
    record_id = f"{job_id}.{attempt}.encode.{outcome}" if code else f"{job_id}.encode.{outcome}"
    await events.say(
        records.of(
            "encode",
            Action.RESULT,
            outcome,
            Principal.service("encode"),
            record_id=record_id,
            reason_code=code,
            study_instance_uid=study,
            job_id=job_id,
            instances=instances,
            trace_id=telemetry.trace_id(),
            detail="result",
        ),
        message_id=record_id,
    )
