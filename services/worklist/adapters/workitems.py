"""Work items in PostgreSQL. A change is kept, said (outbox) and told (NOTIFY) in one transaction; a read is on record
before it is answered."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager

import asyncpg

from services.chassis import database
from services.chassis.outbox import Outbox
from services.worklist.adapters import items, rows
from services.worklist.adapters.rows import Connection
from services.worklist.model import Job
from services.worklist.ports import Facts, ItemDecision
from services.worklist.ups import reports
from services.worklist.ups.item import WorkItem
from services.worklist.ups.matching import Conditions, exactly, matches, parse_filter
from services.worklist.ups.refusals import gone, no_subscription, unknown
from services.worklist.ups.searching import Search

_BATCH = 100
"""Work items that are in memory at a time: each may have some MiB."""
_STATE = "00741000"


class PostgresWorkItems:
    """The work items that are kept in the schema `worklist`."""

    def __init__(self, pool: asyncpg.Pool, outbox: Outbox, *, dicomweb: str, moved: Callable[[], None]) -> None:
        """Keep them; `moved` is called when the job of one has changed with it."""
        self._pool = pool
        self._outbox = outbox
        self._dicomweb = dicomweb
        self._moved = moved

    async def create(self, item: WorkItem, facts: Facts) -> None:
        """Keep one that is of no job of ours."""
        async with self._transaction() as connection:
            await items.create(connection, item)
            await self._say(connection, facts)
        self._outbox.wake()

    async def decide(self, uid: str, decide: Callable[[WorkItem, Job | None], ItemDecision]) -> ItemDecision:
        """Keep, say and tell what `decide` makes of a work item and its job; nobody changes them meanwhile."""
        async with self._transaction() as connection:
            # The job first, as everybody does.
            job_id = await connection.fetchval("SELECT job_id FROM workitems WHERE uid = $1", uid)
            job = await rows.lock(connection, job_id) if job_id else None
            item = await items.lock(connection, uid)
            if item is None:
                raise await self._absent(connection, uid)
            decision = decide(item, job)
            await items.change(connection, item, decision.steps, decision.reports)
            if decision.job is not None:
                await items.follow(connection, await rows.save(connection, decision.job), self._dicomweb, but=uid)
            await self._say(connection, decision.facts)
        self._outbox.wake()
        if decision.job is not None:
            self._moved()
        return decision

    async def refuse(self, facts: Facts) -> None:
        """Say what was refused."""
        async with self._transaction() as connection:
            await self._say(connection, facts)
        self._outbox.wake()

    async def get(self, uid: str, facts: Callable[[WorkItem], Facts]) -> WorkItem:
        """A work item, once it is on record who reads it."""
        async with self._transaction() as connection:
            row = await connection.fetchrow("SELECT * FROM workitems WHERE uid = $1", uid)
            if row is None:
                raise await self._absent(connection, uid)
            item = items.item_of(row)
            await self._say(connection, facts(item))
        self._outbox.wake()
        return item

    async def search(self, search: Search, facts: Callable[[int], Facts]) -> tuple[list[WorkItem], bool]:
        """Those that match, oldest first, and whether there are more; once it is on record who asks."""
        found: list[WorkItem] = []
        async with self._transaction() as connection:
            passed = 0
            async for batch in _matching(connection, search.conditions):
                found += batch[max(search.offset - passed, 0) :]
                passed += len(batch)
                if len(found) > search.limit:
                    break
            await self._say(connection, facts(len(found[: search.limit])))
        self._outbox.wake()
        return found[: search.limit], len(found) > search.limit

    async def subscribe(self, uid: str, ae_title: str, facts: Facts, *, locked: bool) -> None:
        """Tell `ae_title` of a work item from now on, beginning with its state."""
        async with self._transaction() as connection:
            item = await items.lock(connection, uid)
            if item is None:
                raise await self._absent(connection, uid)
            await items.subscribe(connection, uid, ae_title, locked=locked)
            await items.tell_one(connection, ae_title, [reports.state_report(item)])
            await self._say(connection, facts)
        self._outbox.wake()

    async def subscribe_all(self, worklist: str, ae_title: str, filter_: str, facts: Facts, *, locked: bool) -> None:
        """Tell `ae_title` of all work items, or of those that match, also of those to come.

        With a lock it hears at once how each of them stands (PS3.4 CC.2.4.3).
        """
        conditions = parse_filter(filter_) if filter_ else {}
        async with self._transaction() as connection:
            await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('worklist.subscribers', 0))")
            await connection.execute(
                "INSERT INTO worklist_subscriptions (ae_title, worklist, locked, filter) VALUES ($1, $2, $3, $4)"
                " ON CONFLICT (ae_title, worklist) DO UPDATE SET locked = excluded.locked, filter = excluded.filter",
                ae_title,
                worklist,
                locked,
                filter_,
            )
            # Many at a time: nobody makes a work item, and so a job, while this lasts.
            async for batch in _matching(connection, conditions):
                await items.subscribe_new(connection, [item.uid for item in batch], ae_title, locked=locked)
                if locked:
                    await items.tell_one(connection, ae_title, map(reports.state_report, batch))
            await self._say(connection, facts)
        self._outbox.wake()

    async def unsubscribe(self, uid: str, ae_title: str, facts: Facts) -> None:
        """Tell no more of a work item; of a well-known UID: of none."""
        async with self._transaction() as connection:
            there = await connection.fetchval(
                "DELETE FROM worklist_subscriptions WHERE worklist = $1 AND ae_title = $2 RETURNING true", uid, ae_title
            )
            if there:
                await connection.execute("DELETE FROM subscriptions WHERE ae_title = $1", ae_title)
            elif not await connection.fetchval(
                "DELETE FROM subscriptions WHERE uid = $1 AND ae_title = $2 RETURNING true", uid, ae_title
            ):
                raise no_subscription()
            await self._say(connection, facts)
        self._outbox.wake()

    async def suspend(self, worklist: str, ae_title: str, facts: Facts) -> None:
        """Tell of no new ones; those that are there are still told of."""
        async with self._transaction() as connection:
            if not await connection.fetchval(
                "DELETE FROM worklist_subscriptions WHERE worklist = $1 AND ae_title = $2 RETURNING true",
                worklist,
                ae_title,
            ):
                raise no_subscription()
            await self._say(connection, facts)
        self._outbox.wake()

    async def sweep(self, kept_days: float) -> int:
        """Delete what ended so long ago and nobody has locked (PS3.4 CC.2.1.3); how many. Old events go too."""
        async with self._transaction() as connection:
            await connection.execute("DELETE FROM workitem_events WHERE at < now() - interval '10 minutes'")
            return int(
                await connection.fetchval(
                    """
                    WITH deleted AS (
                        DELETE FROM workitems AS each WHERE ended_at < now() - make_interval(secs => $1 * 86400)
                        AND NOT EXISTS (SELECT FROM subscriptions WHERE uid = each.uid AND locked) RETURNING uid
                    ), noted AS (INSERT INTO workitems_gone SELECT uid FROM deleted RETURNING uid)
                    SELECT count(*) FROM noted
                    """,
                    kept_days,
                )
            )

    async def _absent(self, connection: Connection, uid: str) -> Exception:
        was = await connection.fetchval("SELECT EXISTS (SELECT FROM workitems_gone WHERE uid = $1)", uid)
        return gone() if was else unknown()

    def _transaction(self) -> AbstractAsyncContextManager[Connection]:
        return rows.transaction(self._pool)

    async def _say(self, connection: Connection, facts: Facts) -> None:
        for event, message_id in facts:
            await self._outbox.append(connection, event, message_id=message_id)


async def _matching(connection: Connection, conditions: Conditions) -> AsyncIterator[list[WorkItem]]:
    """The work items that match, oldest first, some at a time: an index narrows, the rules decide."""
    asked = exactly(conditions)
    state = asked.pop(_STATE, {}).get("Value", [""])[0]
    narrow = {tag: element for tag, element in asked.items() if tag not in items.PROGRESS}
    where, values = database.conditions({"state = ": state, "attributes @> ": json.dumps(narrow) if narrow else ""})
    query = f"SELECT * FROM workitems WHERE {where} ORDER BY position"  # noqa: S608  # conditions of our own, above
    cursor = await connection.cursor(query, *values)
    while batch := await cursor.fetch(_BATCH):
        found = map(items.item_of, batch)
        if fitting := [item for item in found if matches(item.attributes, conditions)]:
            yield fitting
