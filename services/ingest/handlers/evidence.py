"""Look at objects that are kept beside what is served under their SOP Instance UID, and decide about them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from services.chassis import telemetry
from services.chassis.principal import Principal
from services.contracts.events import Action
from services.contracts.events import Outcome as AuditOutcome
from services.dicom.part10 import parse_instance
from services.ingest.errors import NothingThere
from services.ingest.model import store_record
from services.ingest.ports import Custody, Ledger, Objects
from services.store.history import Evidence
from services.store.model import Entry


async def listed(
    limit: int, offset: int, *, principal: Principal, custody: Custody, ledger: Ledger
) -> Sequence[Evidence]:
    """The list, newest first. Raises `IndexUnavailable`."""
    found = await custody.evidence(limit, offset)
    record = store_record(
        principal,
        AuditOutcome.SUCCESS,
        action=Action.QUERY,
        trace_id=telemetry.trace_id(),
        detail="evidence",
        instances=len(found),
    )
    await ledger.say(record)
    return found


async def fetched(
    sop_instance_uid: str,
    digest: str,
    *,
    principal: Principal,
    custody: Custody,
    ledger: Ledger,
    objects: Objects,
) -> tuple[int, AsyncIterator[bytes]]:
    """One of them as it came: its size and its bytes, a PS3.10 file.

    Raises:
        NothingThere: it is no evidence.
        IndexUnavailable, ObjectsUnavailable: not now.
    """
    found = await custody.one(sop_instance_uid, digest)
    if found is None:
        raise NothingThere
    record = store_record(
        principal,
        AuditOutcome.SUCCESS,
        action=Action.RETRIEVE,
        trace_id=telemetry.trace_id(),
        detail="evidence",
        study_instance_uid=found.study_instance_uid,
        series_instance_uid=found.series_instance_uid,
        sop_instance_uid=sop_instance_uid,
    )
    await ledger.say(record)
    return found.size, objects.stream(digest)


async def accept(
    sop_instance_uid: str, digest: str, *, principal: Principal, custody: Custody, objects: Objects
) -> None:
    """Serve it from now on; what was served becomes evidence in its turn.

    Raises:
        NothingThere: it is no evidence.
        IndexUnavailable, ObjectsUnavailable: nothing has changed.
    """
    if await custody.one(sop_instance_uid, digest) is None:
        raise NothingThere
    content = await objects.read(digest)
    parsed = await asyncio.to_thread(parse_instance, memoryview(content))
    entry = Entry.of(parsed, digest=digest, size=len(content))
    if not await custody.exchange(entry, principal, telemetry.trace_id()):
        raise NothingThere


async def dismiss(sop_instance_uid: str, digest: str, *, principal: Principal, custody: Custody) -> None:
    """Let go of it: its object is removed after a rest.

    Raises:
        NothingThere: it is no evidence.
        IndexUnavailable: nothing has changed.
    """
    if not await custody.dismiss(sop_instance_uid, digest, principal, telemetry.trace_id()):
        raise NothingThere
