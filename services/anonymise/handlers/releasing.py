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
    InputChangedError,
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
    ReleasedInput,
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
class _Source:
    """A series that is to leave.

    Attributes:
        name: of the model card's input; "" for the series that the job is about.
        first: the number of its first file.
    """

    name: str
    study_instance_uid: str
    series_instance_uid: str
    listing: Listing
    first: int


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
    """Let the series of a job out, and those that it takes beside it: every instance de-identified, or none.

    All under the same pseudonyms: one patient stays one, dates move by the same days, distances stay.

    The same request again writes the same bytes and says nothing new; a higher attempt says `job.released` anew.

    Raises:
        SeriesChangedError: the series is not the one that the job was made for.
        InputChangedError: another one is not.
        RefusedError: an instance cannot be de-identified.
        HeldError: a person has to look at the pixels of instances first; the others are done.
        PassingFault: archive, work store or database do not answer.
    """
    if await releases.attempt(requested.job_id) >= requested.attempt:
        return
    with telemetry.span(names.SPAN_DEIDENTIFY, {names.JOB_ID: requested.job_id, names.MODEL: requested.model}) as span:
        sources = await _sources(requested, archive, policy, limits)
        advance = _progress(requested.job_id, sum(len(one.listing.instances) for one in sources), bulletin)
        of_source: dict[str, list[_Written]] = {}
        doubtful: list[Finding] = []
        for one in sources:
            with archive.reading(one.study_instance_uid, one.series_instance_uid) as read:
                try:
                    pixels = await _of_series(one.listing, read=read, policy=policy, limits=limits)
                    of_source[one.name] = await _write_all(
                        requested.job_id,
                        one,
                        read=read,
                        work=work,
                        advance=advance,
                        policy=policy,
                        limits=limits,
                        pixels=pixels,
                    )
                except HeldError as held:  # the others go on: a person sees all that is doubtful at once
                    doubtful += held.findings
        if doubtful:
            raise HeldError(doubtful)
        written = [each for one in of_source.values() for each in one]
        manifest = {
            "schema": 1,
            "job_id": requested.job_id,
            "model": requested.model,
            "model_version": requested.model_version,
            "instances": [one.line for one in of_source[""]],
        }
        if requested.inputs:
            manifest["inputs"] = {name: [one.line for one in lines] for name, lines in of_source.items() if name}
        # Last: whoever finds the manifest finds all that it names.
        await work.write(manifest_key(requested.job_id), json.dumps(manifest).encode())
        kept = Release(
            job_id=requested.job_id,
            attempt=requested.attempt,
            study_instance_uid=requested.study_instance_uid,
            series_instance_uid=requested.series_instance_uid,
            revision=requested.revision,
            series_digest=requested.series_digest,
            supersedes=requested.supersedes,
            model=requested.model,
            model_version=requested.model_version,
            input=manifest_key(requested.job_id),
            instances=len(written),
            profile=policy.profile.label,
            key_id=policy.pseudonyms.key_id,
            inputs=tuple(
                ReleasedInput(
                    one.name,
                    one.study_instance_uid,
                    one.series_instance_uid,
                    tuple(each.sop_instance_uid for each in one.listing.instances),
                )
                for one in sources
                if one.name
            ),
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
    beside = [
        record(
            Action.REIDENTIFY,
            Outcome.SUCCESS,
            principal,
            job_id,
            study_instance_uid=one.study_instance_uid,
            series_instance_uid=one.series_instance_uid,
            instances=len(one.sop_instance_uids),
        )
        for one in original.inputs
    ]
    await releases.say(tuple((one, None) for one in (recorded, *beside)))
    return original


async def _sources(
    requested: JobRequested, archive: SourceArchive, policy: Policy, limits: Limits
) -> Sequence[_Source]:
    """What is to leave; looked at before any byte is read."""
    study, series = requested.study_instance_uid, requested.series_instance_uid
    listing = await archive.list(study, series)
    if listing.digest != requested.series_digest or not listing.instances:
        raise SeriesChangedError
    sources = [_Source("", study, series, listing, 0)]
    for one in requested.inputs:
        first = sources[-1].first + len(sources[-1].listing.instances)
        try:
            listing = await archive.list(one.study_instance_uid, one.series_instance_uid)
        except SeriesChangedError:
            raise InputChangedError(one.name) from None
        if listing.digest != one.digest or not listing.instances:
            raise InputChangedError(one.name)
        sources.append(_Source(one.name, one.study_instance_uid, one.series_instance_uid, listing, first))
    for source in sources:
        _admit(source.listing, policy, limits)
    return sources


def _admit(listing: Listing, policy: Policy, limits: Limits) -> None:
    for instance in listing.instances:
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
    source: _Source,
    *,
    read: Read,
    work: WorkStore,
    advance: Callable[[], Awaitable[None]],
    policy: Policy,
    limits: Limits,
    pixels: PixelCleaner | None,
) -> list[_Written]:
    # In the order of the pseudonyms: the order of the originals is knowledge, too.
    instances = sorted(source.listing.instances, key=lambda one: policy.pseudonyms.uid(one.sop_instance_uid))
    free = asyncio.Semaphore(limits.at_once)
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

    written = await _all(write(number, instance) for number, instance in enumerate(instances, source.first))
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
    beside = [(one.study_instance_uid, one.series_instance_uid, len(one.sop_instance_uids)) for one in kept.inputs]
    own = kept.instances - sum(count for _, _, count in beside)
    recorded = [
        record(
            Action.DEIDENTIFY,
            Outcome.SUCCESS,
            _PRINCIPAL,
            kept.job_id,
            study_instance_uid=study,
            series_instance_uid=series,
            instances=count,
        )
        for study, series, count in ((kept.study_instance_uid, kept.series_instance_uid, own), *beside)
    ]
    return ((released, f"{kept.job_id}.{kept.attempt}.released"), *((one, None) for one in recorded))
