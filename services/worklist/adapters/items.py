"""Work items as rows, and what is told of them: on a connection whose transaction is somebody else's.

Who changes a work item of a job has locked the job first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

import asyncpg

from services.dicom.dicom_json import DicomJson
from services.dicom.uids import new_uid
from services.worklist.adapters.rows import Connection
from services.worklist.model import Job
from services.worklist.ups import following, reports
from services.worklist.ups.item import StepState, WorkItem
from services.worklist.ups.matching import matches, parse_filter
from services.worklist.ups.refusals import exists
from services.worklist.ups.reports import Report

EVENTS: Final = "worklist_events"
"""Of LISTEN and NOTIFY; the payload is the position of an event."""
PROGRESS: Final = frozenset(("00404010", "00741000", "00741002", "00741216"))
"""What changes with the work: modification time, state, progress, what was performed."""

_INSERT = """
INSERT INTO workitems (uid, state, transaction_uid, job_id, created_at, attributes, progress)
SELECT $1, $2, $3, $4, $5, $6::jsonb, $7::jsonb WHERE NOT EXISTS (SELECT FROM workitems_gone WHERE uid = $1)
ON CONFLICT (uid) DO NOTHING RETURNING position
"""
_UPDATE = """
UPDATE workitems SET state = $2, transaction_uid = $3, progress = $4::jsonb, ended_at = coalesce(ended_at, $5),
    attributes = CASE WHEN attributes = $6::jsonb THEN attributes ELSE $6::jsonb END
WHERE uid = $1
"""
_TELL = """
WITH told AS (
    INSERT INTO workitem_events (ae_titles, message)
    SELECT array_agg(ae_title), $2::jsonb FROM subscriptions WHERE uid = $1 HAVING count(*) > 0
    RETURNING position
)
SELECT pg_notify($3, position::text) FROM told
"""

_TELL_ONE = """
WITH told AS (
    INSERT INTO workitem_events (ae_titles, message)
    SELECT $1, message::jsonb FROM unnest($2::text[]) WITH ORDINALITY AS each (message, place) ORDER BY place
    RETURNING position
)
SELECT pg_notify($3, position::text) FROM told
"""


def item_of(row: asyncpg.Record) -> WorkItem:
    """The work item of a row."""
    attributes = json.loads(row["attributes"]) | json.loads(row["progress"])
    return WorkItem(
        row["uid"],
        StepState(row["state"]),
        dict(sorted(attributes.items())),
        row["created_at"],
        row["transaction_uid"],
        row["job_id"],
        row["position"],
    )


async def lock(connection: Connection, uid: str) -> WorkItem | None:
    """A work item, alone until the transaction ends; None if there is none."""
    row = await connection.fetchrow("SELECT * FROM workitems WHERE uid = $1 FOR UPDATE", uid)
    return None if row is None else item_of(row)


async def create(connection: Connection, item: WorkItem) -> None:
    """Keep a new work item, subscribe whoever wants all of its kind, and tell them.

    Raises:
        WorkItemRefusedError: there is, or was, one of this UID.
    """
    apart, rest = _parted(item.attributes)
    place = await connection.fetchval(
        _INSERT, item.uid, item.state, item.transaction_uid, item.job_id, item.created_at, rest, apart
    )
    if place is None:
        raise exists()
    # Who subscribes to all meanwhile is seen here, or sees this work item: one of them waits for the other.
    await connection.execute("SELECT pg_advisory_xact_lock_shared(hashtextextended('worklist.subscribers', 0))")
    for row in await connection.fetch("SELECT ae_title, locked, filter FROM worklist_subscriptions"):
        if not row["filter"] or matches(item.attributes, parse_filter(row["filter"])):
            await subscribe(connection, item.uid, row["ae_title"], locked=row["locked"])
    await tell(connection, reports.created(item))


async def change(connection: Connection, before: WorkItem, steps: Iterable[WorkItem], also: Iterable[Report]) -> None:
    """Keep what a work item becomes, step by step, and tell of each."""
    told = list(also)
    last = before
    for step in steps:
        told += reports.between(last, step)
        last = step
    if last is not before:
        apart, rest = _parted(last.attributes)
        ended = datetime.now(UTC) if last.state.final else None
        await connection.execute(_UPDATE, last.uid, last.state, last.transaction_uid, apart, ended, rest)
    await tell(connection, told)


async def follow(connection: Connection, job: Job, dicomweb: str, *, but: str = "") -> None:
    """Let the work items of a job go where it went; all but the one that led."""
    at = datetime.now(UTC)
    rows = await connection.fetch("SELECT * FROM workitems WHERE job_id = $1 ORDER BY position FOR UPDATE", job.id)
    kept = [item_of(row) for row in rows]
    if kept and not job.state.ended and all(item.state.final for item in kept):
        again = following.succeed(kept[-1], job, at)
        await create(connection, again)
        kept.append(again)
    for item in kept:
        if item.uid != but:
            steps = following.follow(item, job, at, transaction_uid=new_uid(), dicomweb=dicomweb)
            await change(connection, item, steps, ())


async def subscribe_new(connection: Connection, uids: Sequence[str], ae_title: str, *, locked: bool) -> None:
    """Subscribe to the work items to which `ae_title` has no subscription; what it said of single ones stays."""
    await connection.execute(
        "INSERT INTO subscriptions (uid, ae_title, locked) SELECT uid, $2, $3 FROM unnest($1::text[]) AS uid"
        " ON CONFLICT (uid, ae_title) DO NOTHING",
        uids,
        ae_title,
        locked,
    )


async def subscribe(connection: Connection, uid: str, ae_title: str, *, locked: bool) -> None:
    """Subscribe to a work item, or change the lock of a subscription."""
    await connection.execute(
        "INSERT INTO subscriptions (uid, ae_title, locked) VALUES ($1, $2, $3)"
        " ON CONFLICT (uid, ae_title) DO UPDATE SET locked = excluded.locked",
        uid,
        ae_title,
        locked,
    )


async def tell(connection: Connection, told: Iterable[Report]) -> None:
    """Tell those who have subscribed, in whichever process they are connected."""
    for report in told:
        await connection.execute(_TELL, report.uid, json.dumps(report.message), EVENTS)


async def tell_one(connection: Connection, ae_title: str, told: Iterable[Report]) -> None:
    """Tell one of them."""
    messages = [json.dumps(report.message) for report in told]
    await connection.execute(_TELL_ONE, [ae_title], messages, EVENTS)


def _parted(attributes: DicomJson) -> tuple[str, str]:
    """What changes with the work, and the rest."""
    apart = {tag: element for tag, element in attributes.items() if tag in PROGRESS}
    return json.dumps(apart), json.dumps({tag: each for tag, each in attributes.items() if tag not in PROGRESS})
