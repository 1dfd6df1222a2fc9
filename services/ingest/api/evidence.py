"""Conflicts: other bytes under one SOP Instance UID, for a person to look at and decide."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from services.chassis import http
from services.dicom import uids
from services.ingest.errors import IllegalUid
from services.ingest.handlers import evidence as handlers
from services.ingest.ports import Custody, Ledger, Objects
from services.store.history import Evidence

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_MOST: Final = 1000


def router(*, custody: Custody, ledger: Ledger, objects: Objects) -> APIRouter:
    """The routes under `/conflicts`."""
    routes = APIRouter()

    @routes.get("/conflicts")
    async def conflicts(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=_MOST)] = 100,
        offset: Annotated[int, Query(ge=0)] = 0,
    ) -> list[dict[str, Any]]:
        found = await handlers.listed(limit, offset, principal=http.caller(request), custody=custody, ledger=ledger)
        return [_shown(each) for each in found]

    @routes.get("/conflicts/{instance}/{digest}")
    async def conflict(request: Request, instance: str, digest: str) -> Response:
        _check(instance, digest)
        size, content = await handlers.fetched(
            instance, digest, principal=http.caller(request), custody=custody, ledger=ledger, objects=objects
        )
        return StreamingResponse(content, media_type="application/dicom", headers={"Content-Length": str(size)})

    @routes.post("/conflicts/{instance}/{digest}/accept", status_code=204)
    async def accept(request: Request, instance: str, digest: str) -> None:
        _check(instance, digest)
        await handlers.accept(instance, digest, principal=http.caller(request), custody=custody, objects=objects)

    @routes.delete("/conflicts/{instance}/{digest}", status_code=204)
    async def dismiss(request: Request, instance: str, digest: str) -> None:
        _check(instance, digest)
        await handlers.dismiss(instance, digest, principal=http.caller(request), custody=custody)

    return routes


def _check(instance: str, digest: str) -> None:
    if not uids.is_legal(instance) or not _DIGEST.fullmatch(digest):
        raise IllegalUid


def _shown(each: Evidence) -> dict[str, Any]:
    return {
        "SOPInstanceUID": each.sop_instance_uid,
        "StudyInstanceUID": each.study_instance_uid,
        "SeriesInstanceUID": each.series_instance_uid,
        "digest": each.digest,
        "bytes": each.size,
        "first_seen_at": each.first_seen_at.isoformat(timespec="milliseconds"),
        "times": each.times,
        "was_served": each.was_served,
        "file": f"/conflicts/{each.sop_instance_uid}/{each.digest}",
    }
