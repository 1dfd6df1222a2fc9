"""WADO-RS (PS3.18 10.4)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from services.archive import content
from services.archive.api.asking import known_to, ranges_of, resource_of
from services.archive.handlers import metadata as prepared
from services.archive.handlers import retrieve as retrieving
from services.archive.model import Located
from services.archive.negotiation import json_form
from services.archive.ports import Documents, Events, Index
from services.archive.sending import PRIVATE, Sender
from services.chassis import http


def router(
    *, index: Index, documents: Documents, events: Events, sender: Sender, public_url: str, root: str
) -> APIRouter:
    """The routes of WADO-RS under `root`."""
    routes = APIRouter()
    study = f"{root}/studies/{{study}}"
    series = f"{study}/series/{{series}}"
    instance = f"{series}/instances/{{instance}}"

    @routes.get(f"{study}/metadata")
    @routes.get(f"{series}/metadata")
    @routes.get(f"{instance}/metadata")
    async def metadata(request: Request) -> Response:
        media_type = json_form(ranges_of(request))
        answer = await prepared.metadata(
            resource_of(request),
            f"{http.origin(request, public_url)}{root}",
            known_to(request),
            index=index,
            documents=documents,
            events=events,
            caller=http.caller(request),
        )
        headers = {**PRIVATE, "ETag": answer.etag}
        if answer.body is None:
            return Response(status_code=304, headers=headers)
        return Response(answer.body, media_type=media_type, headers=headers)

    @routes.get(study)
    @routes.get(series)
    @routes.get(instance)
    async def retrieve(request: Request) -> Response:
        rows = await retrieving.retrieve(resource_of(request), index=index, events=events, caller=http.caller(request))
        return await sender.instances(rows, ranges_of(request))

    @routes.get(f"{instance}/frames/{{frames}}")
    async def frames(request: Request) -> Response:
        numbers = content.frame_numbers(request.path_params["frames"])
        located = await locate(request, "frames")
        return await sender.frames(located, numbers, ranges_of(request))

    @routes.get(f"{instance}/bulkdata/{{path}}")
    async def bulkdata(request: Request) -> Response:
        located = await locate(request, "bulkdata")
        return await sender.bulk(located, request.path_params["path"], ranges_of(request))

    async def locate(request: Request, detail: str) -> Located:
        return await retrieving.locate(
            resource_of(request), detail, index=index, events=events, caller=http.caller(request)
        )

    return routes
