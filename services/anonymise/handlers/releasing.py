"""Use cases: let a series out, say that it cannot be let out, and find the way back."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from services.anonymise.burned_in.model import Finding
from services.anonymise.engine.admission import admitted_kind
from services.anonymise.engine.deidentifying import PixelCleaner, Policy, Surveyed, deidentify
from services.anonymise.engine.report import Report
from services.anonymise.errors import (
    DamagedInstanceError,
    DoubtfulPixelsError,
    HeldError,
    NotReleasedError,
    Reason,
    RefusedError,
    SeriesChangedError,
)
from services.anonymise.model import (
    DeidentifiedInstance,
    Listed,
    Listing,
    Original,
    Pseudonym,
    Release,
    UidKind,
)
from services.anonymise.ports import Bulletin, Read, Releases, SourceArchive, WorkStore
from services.anonymise.records import record
from services.chassis import telemetry
from services.chassis.faults import Fault, PermanentFault
from services.chassis.principal import Principal
from services.contracts import telemetry as names
from services.contracts.events import (
    Action,
    Event,
    JobFailed,
    JobProgressed,
    JobReleased,
    JobRequested,
    Outcome,
)
from services.contracts.work import input_key, manifest_key

STEP = "deidentify"
_PRINCIPAL = Principal.service("anonymise")
_MENTION_EVERY_SECONDS = 0.2
ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is taken on.

    Attributes:
        at_once: instances in hand at a time.
        instance_bytes: the largest instance.
    """

    at_once: int
    instance_bytes: int


@dataclass(frozen=True, slots=True)
class _Written:
    """A de-identified instance in the work store: its line in the manifest, its way back, what was done to it."""

    line: Mapping[str, object]
    uids: Mapping[str, Pseudonym]
    report: str


async def release(
    requested: JobRequested,
    *,
    archive: SourceArchive,
    work: WorkStore,
    releases: Releases,
    bulletin: Bulletin,
    policy: Policy,
    limits: Limits,
) -> None:
    """Let the series of a job out: every instance de-identified, or none.

    The same request again writes the same bytes and says nothing new; a higher attempt says `job.released` anew.

    Raises:
        SeriesChangedError: the series is not the one that the job was made for.
        RefusedError: an instance cannot be de-identified.
        HeldError: a person has to look at the pixels of instances first; the others are done.
        PassingFault: archive, work store or database do not answer.
    """
    if await releases.attempt(requested.job_id) >= requested.attempt:
        return
    with telemetry.span(names.SPAN_DEIDENTIFY, {names.JOB_ID: requested.job_id, names.MODEL: requested.model}) as span:
        listing = await archive.list(requested.study_instance_uid, requested.series_instance_uid)
        _check(listing, requested, policy, limits)
        with archive.reading(requested.study_instance_uid, requested.series_instance_uid) as read:
            pixels = await _of_series(listing, read=read, policy=policy, limits=limits)
            written = await _write_all(
                requested.job_id,
                listing,
                read=read,
                work=work,
                bulletin=bulletin,
                policy=policy,
                limits=limits,
                pixels=pixels,
            )
        manifest = {
            "schema": 1,
            "job_id": requested.job_id,
            "model": requested.model,
            "model_version": requested.model_version,
            "instances": [one.line for one in written],
        }
        # Last: whoever finds the manifest finds all that it names.
        await work.write(manifest_key(requested.job_id), json.dumps(manifest).encode())
        kept = Release(
            job_id=requested.job_id,
            attempt=requested.attempt,
            study_instance_uid=requested.study_instance_uid,
            series_instance_uid=requested.series_instance_uid,
            revision=requested.revision,
            series_digest=listing.digest,
            supersedes=requested.supersedes,
            model=requested.model,
            model_version=requested.model_version,
            input=manifest_key(requested.job_id),
            instances=len(written),
            profile=policy.profile.label,
            key_id=policy.pseudonyms.key_id,
        )
        reports = {str(one.line["sop_instance_uid"]): one.report for one in written}
        await releases.keep(kept, _merged(written), reports, _said_of(kept))
        span.set_attribute(names.INSTANCES, len(written))


async def fail(requested: JobRequested, fault: Fault, *, releases: Releases) -> None:
    """Say that the job cannot go on, and record the refusal."""
    failed = JobFailed(requested.job_id, STEP, fault.code, fault.reason, requested.attempt)
    recorded = record(
        Action.DEIDENTIFY,
        Outcome.REFUSED if isinstance(fault, RefusedError) else Outcome.FAILURE,
        _PRINCIPAL,
        requested.job_id,
        study_instance_uid=requested.study_instance_uid,
        series_instance_uid=requested.series_instance_uid,
        reason_code=fault.code,
    )
    await releases.say(((failed, f"{requested.job_id}.{requested.attempt}.failed"), (recorded, None)))


async def reidentify(job_id: str, *, principal: Principal, releases: Releases) -> Original:
    """The original identifiers of a released job. Who asked is on record before the answer is given.

    Raises:
        NotReleasedError: the job was never released.
    """
    original = await releases.original(job_id)
    if original is None:
        refused = record(Action.REIDENTIFY, Outcome.REFUSED, principal, job_id, reason_code=NotReleasedError().code)
        await releases.say(((refused, None),))
        raise NotReleasedError
    recorded = record(
        Action.REIDENTIFY,
        Outcome.SUCCESS,
        principal,
        job_id,
        study_instance_uid=original.study_instance_uid,
        series_instance_uid=original.series_instance_uid,
        instances=len(original.sop_instance_uids),
    )
    await releases.say(((recorded, None),))
    return original


def _check(listing: Listing, requested: JobRequested, policy: Policy, limits: Limits) -> None:
    if listing.digest != requested.series_digest or not listing.instances:
        raise SeriesChangedError
    for instance in listing.instances:  # before any byte is read
        admitted_kind(instance.sop_class_uid, policy.profile)
        if instance.size > limits.instance_bytes:
            raise RefusedError(Reason.TOO_LARGE)


async def _of_series(listing: Listing, *, read: Read, policy: Policy, limits: Limits) -> PixelCleaner | None:
    """What cleans the pixels of all instances, where that takes a look at all of them first; each is read once more."""
    if not policy.removes_faces:
        return None
    free = asyncio.Semaphore(limits.at_once)

    async def survey(instance: Listed) -> Surveyed:
        async with free:
            return await asyncio.to_thread(policy.surveyed, await read(instance))

    surveyed = await _all(survey(instance) for instance in listing.instances)
    try:
        return await asyncio.to_thread(policy.of_series, surveyed)
    except DoubtfulPixelsError as error:
        raise HeldError([error.finding]) from None


async def _all(coroutines: Iterable[Coroutine[None, None, ResultT]]) -> list[ResultT]:
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in coroutines]
    except ExceptionGroup as failed:
        # One reason is enough, and a permanent one tells more than a passing one that came with it.
        raise min(failed.exceptions, key=lambda error: not isinstance(error, PermanentFault)) from None
    return [task.result() for task in tasks]


async def _write_all(
    job_id: str,
    listing: Listing,
    *,
    read: Read,
    work: WorkStore,
    bulletin: Bulletin,
    policy: Policy,
    limits: Limits,
    pixels: PixelCleaner | None,
) -> list[_Written]:
    # In the order of the pseudonyms: the order of the originals is knowledge, too.
    instances = sorted(listing.instances, key=lambda one: policy.pseudonyms.uid(one.sop_instance_uid))
    free = asyncio.Semaphore(limits.at_once)
    advance = _progress(job_id, len(instances), bulletin)
    doubtful: list[Finding] = []

    async def write(number: int, instance: Listed) -> _Written | None:
        async with free:
            data = await read(instance)
            # A thread: other work of this process (leases, health, calls) goes on meanwhile.
            try:
                done, digest = await asyncio.to_thread(_deidentified, data, instance.digest, policy, pixels)
            except DoubtfulPixelsError as error:  # the others go on: a person sees all that is doubtful at once
                doubtful.append(error.finding)
                return None
            key = input_key(job_id, f"{number:05d}.dcm")
            await work.write(key, done.data)
        await advance()
        line = {
            "file": key.rpartition("/")[2],
            "sop_instance_uid": done.sop_instance_uid,
            "sha256": digest,
            "bytes": done.size,
        }
        return _Written(line, done.uids, Report.of(done.actions).text)

    written = await _all(write(number, instance) for number, instance in enumerate(instances))
    if doubtful:
        raise HeldError(doubtful)
    return [one for one in written if one is not None]


def _deidentified(
    data: bytes, listed: str, policy: Policy, pixels: PixelCleaner | None
) -> tuple[DeidentifiedInstance, str]:
    if hashlib.sha256(data).hexdigest() != listed:
        raise DamagedInstanceError
    done = deidentify(data, policy, pixels)
    digest = hashlib.sha256()
    for part in done.parts:
        digest.update(part)
    return done, digest.hexdigest()


def _progress(job_id: str, total: int, bulletin: Bulletin) -> Callable[[], Awaitable[None]]:
    """Counts instances, and mentions the count now and then and at the end."""
    clock = asyncio.get_running_loop().time
    done, mentioned = 0, 0.0

    async def advance() -> None:
        nonlocal done, mentioned
        done += 1
        if done == total or clock() - mentioned > _MENTION_EVERY_SECONDS:
            mentioned = clock()
            await bulletin.mention(JobProgressed(job_id, STEP, done, total))

    return advance


def _merged(written: Sequence[_Written]) -> dict[str, Pseudonym]:
    merged: dict[str, Pseudonym] = {}
    for one in written:
        for original, pseudonym in one.uids.items():
            # What one instance refers to may be another one's own UID: the telling kind wins.
            if pseudonym.kind is not UidKind.OTHER or original not in merged:
                merged[original] = pseudonym
    return merged


def _said_of(kept: Release) -> Sequence[tuple[Event, str | None]]:
    released = JobReleased(kept.job_id, kept.model, kept.model_version, kept.input, kept.instances, kept.attempt)
    recorded = record(
        Action.DEIDENTIFY,
        Outcome.SUCCESS,
        _PRINCIPAL,
        kept.job_id,
        study_instance_uid=kept.study_instance_uid,
        series_instance_uid=kept.series_instance_uid,
        instances=kept.instances,
    )
    return ((released, f"{kept.job_id}.{kept.attempt}.released"), (recorded, None))
