"""Use cases of quarantine: hold a job, list and look, release or refuse. Each look and each decision is on record."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from services.anonymise.burned_in.model import Box, covering
from services.anonymise.burned_in.picture import picture_of
from services.anonymise.burned_in.work import Work, WorkRefused
from services.anonymise.engine.deidentifying import Policy
from services.anonymise.engine.elements import read_file
from services.anonymise.errors import HeldError, NotQuarantinedError, Reason, RefusedError, SeriesChangedError
from services.anonymise.handlers import releasing
from services.anonymise.handlers.releasing import Limits
from services.anonymise.model import Listed
from services.anonymise.ports import Bulletin, PixelWorkers, Quarantine, Releases, SourceArchive, WorkStore
from services.anonymise.quarantine import STEP, Entry, State, fitting
from services.anonymise.records import record
from services.chassis.faults import PassingFault
from services.chassis.principal import Principal
from services.contracts.events import Action, AuditRecorded, JobProgressed, JobRequested, Outcome
from services.pixels.errors import NotDescribed

_PRINCIPAL = Principal.service("anonymise")
_REMIND_SECONDS = 5


async def release_or_hold(
    requested: JobRequested,
    *,
    archive: SourceArchive,
    work: WorkStore,
    releases: Releases,
    quarantine: Quarantine,
    bulletin: Bulletin,
    policy: Policy,
    limits: Limits,
) -> bool:
    """Let a series out, or hold its job until a person has looked at its doubtful pictures.

    Returns:
        Whether it was let out.

    Raises:
        Fault: as `handlers.release`.
    """
    try:
        await releasing.release(
            requested, archive=archive, work=work, releases=releases, bulletin=bulletin, policy=policy, limits=limits
        )
    except HeldError as held:
        fact = record(
            Action.DEIDENTIFY,
            Outcome.REFUSED,
            _PRINCIPAL,
            requested.job_id,
            study_instance_uid=requested.study_instance_uid,
            series_instance_uid=requested.series_instance_uid,
            instances=len(held.findings),
            reason_code=held.code,
        )
        await quarantine.hold(requested, held.findings, ((replace(fact, detail="quarantine-held"), None),))
        await bulletin.mention(JobProgressed(requested.job_id, STEP, 0, len(held.findings)))
        return False
    return True


async def listed(
    state: State | None, *, principal: Principal, quarantine: Quarantine, releases: Releases
) -> Sequence[Entry]:
    """The pictures in a state, or all. That they were asked for is on record before they are given."""
    entries = await quarantine.entries(state)
    fact = record(Action.QUERY, Outcome.SUCCESS, principal, instances=len(entries))
    await releases.say(((replace(fact, detail="quarantine-list"), None),))
    return entries


async def preview(
    number: int,
    frame: int,
    *,
    principal: Principal,
    archive: SourceArchive,
    quarantine: Quarantine,
    releases: Releases,
    workers: PixelWorkers,
) -> bytes:
    """A PNG of one frame, with what was found framed in red. That it was shown is on record before it is.

    Raises:
        NotQuarantinedError: there is no such picture, or no such frame.
        RefusedError: its pixels cannot be shown.
        SeriesChangedError: the archive has other pixels now.
        PassingFault: the archive or the database does not answer.
    """
    entry = await quarantine.entry(number)
    if entry is None or not 1 <= frame <= entry.finding.frames:
        raise NotQuarantinedError
    finding = entry.finding
    with archive.reading(finding.study_instance_uid, finding.series_instance_uid) as read:
        data = await read(Listed(finding.sop_instance_uid, "", "", 0))
    boxes = entry.masks or covering(finding.found)
    try:
        picture = picture_of(read_file(data))
        if picture is None or not finding.shows(picture.digest):  # it was stored anew, with other pixels
            raise SeriesChangedError
        asked = picture.question(boxes, read=False).packed_for(frame)
        image = await asyncio.to_thread(workers.ask, Work.PREVIEW, asked, picture.data)
    except (WorkRefused, NotDescribed):
        raise RefusedError(Reason.PIXEL_DATA) from None
    await releases.say(((_of(entry, Action.RETRIEVE, principal, "quarantine-preview"), None),))
    return image


async def let_out(number: int, masks: Sequence[Box] | None, *, principal: Principal, quarantine: Quarantine) -> Entry:
    """A person lets a picture out; the jobs that waited for nothing else go on.

    Args:
        masks: what is masked in every frame: None for all that was found, nothing for the picture as it is.

    Raises:
        NotQuarantinedError: there is no such picture.
        ValueError: a mask does not lie in it, or there is nothing to mask and nobody said that it may leave as it is.
    """
    entry = await _entry(number, quarantine)
    chosen = covering(entry.finding.found) if masks is None else fitting(masks, entry.finding)
    if masks is None and not chosen:  # perhaps because nobody could look
        raise ValueError("nothing was found that could be masked: name the masks, or let it out as it is")
    fact = _of(entry, Action.DEIDENTIFY, principal, "quarantine-released")
    await quarantine.decide(number, State.RELEASED, chosen, principal.subject, ((fact, None),))
    return await _entry(number, quarantine)


async def keep_in(number: int, *, principal: Principal, quarantine: Quarantine) -> Entry:
    """A person refuses a picture; the jobs that wait for it fail, and say why.

    Raises:
        NotQuarantinedError: there is no such picture.
    """
    entry = await _entry(number, quarantine)
    fact = _of(entry, Action.DEIDENTIFY, principal, "quarantine-refused", Outcome.REFUSED)
    await quarantine.decide(number, State.REFUSED, (), principal.subject, ((fact, None),))
    return await _entry(number, quarantine)


async def remind(stopping: asyncio.Event, *, quarantine: Quarantine, bulletin: Bulletin) -> None:
    """Mention now and then which jobs wait, until `stopping`: what was mentioned before may be lost."""
    while not stopping.is_set():
        try:
            for job in await quarantine.held():
                await bulletin.mention(JobProgressed(job.job_id, STEP, job.decided, job.total))
        except PassingFault:
            pass  # the next time, then
        try:
            async with asyncio.timeout(_REMIND_SECONDS):
                await stopping.wait()
        except TimeoutError:
            continue


async def _entry(number: int, quarantine: Quarantine) -> Entry:
    entry = await quarantine.entry(number)
    if entry is None:
        raise NotQuarantinedError
    return entry


def _of(
    entry: Entry, action: Action, principal: Principal, detail: str, outcome: Outcome = Outcome.SUCCESS
) -> AuditRecorded:
    """The record of something that was done with one picture."""
    finding = entry.finding
    made = record(
        action,
        outcome,
        principal,
        study_instance_uid=finding.study_instance_uid,
        series_instance_uid=finding.series_instance_uid,
        instances=1,
    )
    return replace(made, sop_instance_uid=finding.sop_instance_uid, detail=detail)
