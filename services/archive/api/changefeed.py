"""The change feed: what happened to instances, in one order, for those who keep something of their own in step.

Not of PS3.18; `GET …/changefeed?since=N` gives what came after N, so a client keeps one number.
"""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response

from services.archive.handlers import changes as handlers
from services.archive.ports import Changes, Events
from services.archive.sending import PRIVATE, packed_answer
from services.chassis import http
from services.dicom.dicom_json import dumps
from services.store.history import FeedEntry

_MOST: Final = 1000
_LONGEST_WAIT: Final = 30.0


def router(*, changes: Changes, events: Events, root: str = "/dicom-web") -> APIRouter:
    """The routes under `root`."""
    routes = APIRouter()

    @routes.get(f"{root}/changefeed")
    async def changefeed(
        request: Request,
        since: Annotated[int, Query(ge=0)] = 0,
        limit: Annotated[int, Query(ge=1, le=_MOST)] = 100,
        metadata: bool = False,
        wait: Annotated[float, Query(ge=0, le=_LONGEST_WAIT)] = 0,
    ) -> Response:
        page = await handlers.since(
            since,
            limit,
            metadata=metadata,
            wait_seconds=wait,
            changes=changes,
            events=events,
            caller=http.caller(request),
        )
        body = b'{"changes":[%b],"last":%d,"more":%b}' % (
            b",".join(_entry(each) for each in page.entries),
            page.last,
            b"true" if page.more else b"false",
        )
        answer = Response(body, media_type="application/json", headers=PRIVATE)
        return await packed_answer(answer, request.headers.get("accept-encoding"))

    @routes.get(f"{root}/changefeed/latest")
    async def latest() -> dict[str, int]:
        return {"last": await changes.last()}

    return routes


def _entry(each: FeedEntry) -> bytes:
    told = dumps(
        {
            "sequence": each.number,
            "at": each.at.isoformat(timespec="milliseconds"),
            "action": each.kind.value,
            "state": each.state.value,
            "StudyInstanceUID": each.study_instance_uid,
            "SeriesInstanceUID": each.series_instance_uid,
            "SOPInstanceUID": each.sop_instance_uid,
        }
    )
    return told[:-1] + b',"metadata":%b}' % each.metadata if each.metadata else told
