"""Quarantine by HTTP, for the hospital zone: list, look, release, refuse."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Path, Query, Response
from pydantic import BaseModel, ConfigDict

from services.anonymise.burned_in.model import Box
from services.anonymise.errors import NotQuarantinedError
from services.anonymise.handlers import quarantine as handlers
from services.anonymise.ports import PixelWorkers, Quarantine, Releases, SourceArchive
from services.anonymise.quarantine import Entry, State
from services.chassis import http
from services.chassis.principal import Principal

Caller = Annotated[Principal, Depends(http.caller)]
Number = Annotated[int, Path(ge=1, lt=2**63)]


class FoundView(BaseModel):
    """Text, or what may be text: a rectangle of pixels on a frame."""

    frame: int
    x: int
    y: int
    width: int
    height: int
    sure: bool


class EntryView(BaseModel):
    """A picture in quarantine, and why it is there."""

    number: int
    state: State
    doubt: str
    reason: str
    grounds: list[str]
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    rows: int
    columns: int
    frames: int
    found: list[FoundView]
    masks: list[tuple[int, int, int, int]]
    held_at: datetime
    decided_by: str
    decided_at: datetime | None
    jobs: list[str]

    @classmethod
    def of(cls, entry: Entry) -> EntryView:
        """An entry as it is shown."""
        finding = entry.finding
        return cls(
            number=entry.number,
            state=entry.state,
            doubt=finding.doubt.value,
            reason=finding.doubt.text,
            grounds=[ground.value for ground in finding.grounds],
            study_instance_uid=finding.study_instance_uid,
            series_instance_uid=finding.series_instance_uid,
            sop_instance_uid=finding.sop_instance_uid,
            rows=finding.rows,
            columns=finding.columns,
            frames=finding.frames,
            found=[FoundView(frame=one.frame, **one.box._asdict(), sure=one.sure) for one in finding.found],
            masks=[(box.x, box.y, box.width, box.height) for box in entry.masks],
            held_at=entry.held_at,
            decided_by=entry.decided_by,
            decided_at=entry.decided_at,
            jobs=list(entry.jobs),
        )


class Entries(BaseModel):
    """Pictures, oldest first."""

    entries: list[EntryView]


class Release(BaseModel):
    """How a picture is let out: with all masked that was found (`masks` null), with these masks, or (none) as it is."""

    model_config = ConfigDict(extra="forbid")

    masks: list[tuple[int, int, int, int]] | None = None


def router(*, archive: SourceArchive, quarantine: Quarantine, releases: Releases, workers: PixelWorkers) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/quarantine")

    @routes.get("")
    async def list_entries(principal: Caller, state: Annotated[State | None, Query()] = None) -> Entries:
        """The pictures in a state, or all."""
        found = await handlers.listed(state, principal=principal, quarantine=quarantine, releases=releases)
        return Entries(entries=[EntryView.of(entry) for entry in found])

    @routes.get("/{number}/preview")
    async def show(number: Number, principal: Caller, frame: Annotated[int, Query(ge=1)] = 1) -> Response:
        """One frame as a PNG, with what was found framed in red."""
        try:
            image = await handlers.preview(
                number,
                frame,
                principal=principal,
                archive=archive,
                quarantine=quarantine,
                releases=releases,
                workers=workers,
            )
        except NotQuarantinedError as error:
            raise _not_found(error) from None
        return Response(image, media_type="image/png", headers={"Cache-Control": "no-store"})

    @routes.post("/{number}/release")
    async def release(number: Number, how: Release, principal: Caller) -> EntryView:
        """Let a picture out: the jobs that waited for it go on."""
        masks = None if how.masks is None else [Box(*mask) for mask in how.masks]
        try:
            return EntryView.of(await handlers.let_out(number, masks, principal=principal, quarantine=quarantine))
        except NotQuarantinedError as error:
            raise _not_found(error) from None
        except ValueError as error:
            raise HTTPException(400, str(error)) from None

    @routes.post("/{number}/refuse")
    async def refuse(number: Number, principal: Caller) -> EntryView:
        """Keep a picture in: the jobs that waited for it fail."""
        try:
            return EntryView.of(await handlers.keep_in(number, principal=principal, quarantine=quarantine))
        except NotQuarantinedError as error:
            raise _not_found(error) from None

    return routes


def _not_found(error: NotQuarantinedError) -> HTTPException:
    return HTTPException(404, error.reason)
