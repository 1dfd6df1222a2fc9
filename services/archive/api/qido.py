"""QIDO-RS (PS3.18 10.6)."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from services.archive.api.asking import ranges_of, resource_of
from services.archive.handlers import search as handlers
from services.archive.model import Resource
from services.archive.negotiation import json_form
from services.archive.ports import Events, Index
from services.archive.searching import parse_search
from services.archive.sending import PRIVATE
from services.chassis import http
from services.dicom.dicom_json import dumps
from services.store.model import Level


def router(*, index: Index, events: Events, max_results: int, public_url: str, root: str) -> APIRouter:
    """The routes of QIDO-RS under `root`; `max_results`: at most so many answers to a query."""
    routes = APIRouter()
    study = f"{root}/studies/{{study}}"
    series = f"{study}/series/{{series}}"

    async def search(request: Request, level: Level) -> Response:
        media_type = json_form(ranges_of(request))
        named = resource_of(request) if "study" in request.path_params else Resource("")
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

    return routes
