"""The log by HTTP: read it, verify it."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel

from services.audit import handlers
from services.audit.errors import InvalidQueryError
from services.audit.model import Entry, Flaw, LogQuery, moment
from services.audit.ports import Ledger
from services.chassis import http
from services.chassis.principal import Principal
from services.contracts.events import Action

Uid = Annotated[str, Query(pattern=r"^[0-9.]{1,64}$")]
Caller = Annotated[Principal, Depends(http.caller)]

_PARAMETERS = {"study", "series", "job", "caller", "action", "from", "to", "limit", "after"}


class RecordPage(BaseModel):
    """Records, newest first: `seq`, `hash`, and the record's own fields. `next`, if not null, is the next `after`."""

    records: list[dict[str, Any]]
    next: int | None


class BreakView(BaseModel):
    """The first record at which the chain does not hold."""

    seq: int
    flaw: Flaw


class VerdictView(BaseModel):
    """What a verification found.

    `intact`: the chain holds from the first record to the head, and the database refuses changes.
    """

    intact: bool
    records: int
    head: str
    broken: BreakView | None
    guarded: bool


def router(*, ledger: Ledger) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    @routes.get("/audit")
    async def read_log(
        *,
        request: Request,
        principal: Caller,
        study: Uid = "",
        series: Uid = "",
        job: Annotated[str, Query(pattern=r"^[0-9a-f]{32}$")] = "",
        caller: Annotated[str, Query(min_length=1, max_length=256)] = "",
        action: Action | None = None,
        since: Annotated[str, Query(alias="from")] = "",
        until: Annotated[str, Query(alias="to")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: Annotated[int, Query(ge=1, lt=2**63)] = 2**63 - 1,
    ) -> RecordPage:
        """The records that are asked for, newest first. Asking is itself recorded, before the answer."""
        if not _PARAMETERS.issuperset(request.query_params):
            # One that is not known would silently widen what is shown.
            raise InvalidQueryError("a parameter of the query is not known")
        query = LogQuery(
            study_instance_uid=study,
            series_instance_uid=series,
            job_id=job,
            caller=caller,
            action=action or "",
            since=_moment(since),
            until=_moment(until),
            after=after,
            limit=limit,
        )
        entries = await handlers.read(query, principal=principal, ledger=ledger)
        return RecordPage(
            records=[_view(entry) for entry in entries], next=entries[-1].seq if len(entries) == limit else None
        )

    @routes.get("/audit/verify")
    async def verify_log(principal: Caller) -> VerdictView:
        """Walk the whole chain and name the first record at which it does not hold."""
        verdict = await handlers.verify(principal=principal, ledger=ledger)
        broken = BreakView(seq=verdict.broken.seq, flaw=verdict.broken.flaw) if verdict.broken else None
        return VerdictView(
            intact=broken is None and verdict.guarded,
            records=verdict.records,
            head=verdict.head.hex(),
            broken=broken,
            guarded=verdict.guarded,
        )

    return routes


def _moment(text: str) -> datetime | None:
    found = moment(text) if text else None
    if text and not found:
        raise InvalidQueryError("from and to are times as RFC 3339 writes them")
    return found


def _view(entry: Entry) -> dict[str, Any]:
    return {"seq": entry.seq, "hash": entry.hash.hex(), **json.loads(entry.record)}
