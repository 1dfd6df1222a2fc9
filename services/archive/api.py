"""The HTTP edge: QIDO-RS and WADO-RS (PS3.18 10.4, 10.6)."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Request, Response

from services.archive import content, handlers
from services.archive.model import Located, Resource
from services.archive.negotiation import json_form
from services.archive.ports import Documents, Events, Index
from services.archive.searching import parse_search
from services.archive.sending import PRIVATE, Sender
from services.chassis import http
from services.dicom.accept import MediaRange, parse_accept
from services.dicom.dicom_json import dumps
from services.store.model import Level


def router(
    *,
    index: Index,
    documents: Documents,
    events: Events,
    sender: Sender,
    max_results: int,
    public_url: str = "",
    root: str = "/dicom-web",
) -> APIRouter:
    """The routes of QIDO-RS and WADO-RS under `root`.

    Args:
        max_results: at most so many answers to a query.
        public_url: address of the edge, for links to clients whose Host header has no port.
    """
    routes = APIRouter()
    study = f"{root}/studies/{{study}}"
    series = f"{study}/series/{{series}}"
    instance = f"{series}/instances/{{instance}}"

    async def search(request: Request, level: Level) -> Response:
        media_type = json_form(_ranges(request))
        named = _resource(request) if "study" in request.path_params else Resource("")
        asked = parse_search(
            level,
            request.query_params.multi_items(),
            study_instance_uid=named.study_instance_uid,
            series_instance_uid=named.series_instance_uid,
            max_results=max_results,
        )
        url = f"{http.origin(request, public_url)}{root}"
        page = await handlers.search(asked, url, index=index, events=events, caller=http.caller(request))
        response = Response(dumps(page.results), media_type=media_type, headers=PRIVATE)
        more = ["There are additional results that can be requested"] if page.more else []
        for warning in (*asked.warnings, *more):
            response.headers.append("Warning", f'299 plexus "{warning}"')
        return response

    @routes.get(f"{root}/studies")
    async def search_studies(request: Request) -> Response:
        return await search(request, Level.STUDY)

    @routes.get(f"{root}/series")
    @routes.get(f"{study}/series")
    async def search_series(request: Request) -> Response:
        return await search(request, Level.SERIES)

    @routes.get(f"{root}/instances")
    @routes.get(f"{study}/instances")
    @routes.get(f"{series}/instances")
    async def search_instances(request: Request) -> Response:
        return await search(request, Level.INSTANCE)

    @routes.get(f"{study}/metadata")
    @routes.get(f"{series}/metadata")
    @routes.get(f"{instance}/metadata")
    async def metadata(request: Request) -> Response:
        media_type = json_form(_ranges(request))
        answer = await handlers.metadata(
            _resource(request),
            f"{http.origin(request, public_url)}{root}",
            _known(request),
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
        rows = await handlers.retrieve(_resource(request), index=index, events=events, caller=http.caller(request))
        return await sender.instances(rows, _ranges(request))

    @routes.get(f"{instance}/frames/{{frames}}")
    async def frames(request: Request) -> Response:
        numbers = content.frame_numbers(request.path_params["frames"])
        located = await locate(request, "frames")
        return await sender.frames(located, numbers, _ranges(request))

    @routes.get(f"{instance}/bulkdata/{{path}}")
    async def bulkdata(request: Request) -> Response:
        located = await locate(request, "bulkdata")
        return await sender.bulk(located, request.path_params["path"], _ranges(request))

    async def locate(request: Request, detail: str) -> Located:
        return await handlers.locate(
            _resource(request), detail, index=index, events=events, caller=http.caller(request)
        )

    return routes


def _ranges(request: Request) -> tuple[MediaRange, ...]:
    """What the client accepts: the query parameter `accept` counts before the header (PS3.18 8.3.3.1)."""
    return parse_accept(request.query_params.get("accept") or request.headers.get("accept"))


def _resource(request: Request) -> Resource:
    named = request.path_params
    return Resource(named["study"], named.get("series", ""), named.get("instance", ""))


def _known(request: Request) -> Callable[[str], bool]:
    """Says whether an entity tag is among those that the client has (RFC 9110 13.1.2)."""
    had = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    return lambda tag: tag in had or "*" in had
