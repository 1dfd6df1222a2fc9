"""QIDO-RS (PS3.18 10.6)."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response

from services.archive.answering import answer_json
from services.archive.api.asking import ranges_of, resource_of
from services.archive.errors import NotAcceptable
from services.archive.handlers import search as handlers
from services.archive.handlers.search import Page
from services.archive.model import Resource
from services.archive.ports import Events, Index
from services.archive.searching import parse_search
from services.archive.sending import PRIVATE, packed_answer
from services.chassis import http
from services.chassis.http import Direct
from services.dicom.accept import MULTIPART, Offer, choose
from services.dicom.multipart import PART_TAIL, closing, new_boundary, part_head, related
from services.dicom.native_xml import native_dicom_model
from services.store.model import Level

_XML: Final = "application/dicom+xml"
_OFFERS: Final = (
    Offer("application/dicom+json"),
    Offer("application/json"),
    Offer(MULTIPART, _XML),
    Offer(_XML),  # not of the standard, but what a client means that asks so is clear
)
_MORE: Final = "There are additional results that can be requested"


class Qido:
    """The searches.

    Args:
        max_results: at most so many answers to a query.
        public_url: address of the edge, for clients whose Host header has no port.
        root: path of the service.
    """

    def __init__(
        self, *, index: Index, events: Events, max_results: int, public_url: str = "", root: str = "/dicom-web"
    ) -> None:
        self._index = index
        self._events = events
        self._max_results = max_results
        self._public_url = public_url
        self._root = root
        study = f"{root}/studies/{{study}}"
        series = f"{study}/series/{{series}}"
        self._routes = (
            (f"{root}/studies", self.studies),
            *((f"{above}/series", self.series) for above in (study, root)),
            *((f"{above}/instances", self.instances) for above in (series, study, root)),
        )

    def router(self) -> APIRouter:
        """The routes."""
        routes = APIRouter()
        for path, answer in self._routes:
            routes.add_api_route(path, answer, methods=["GET", "HEAD"])
        return routes

    def direct(self) -> list[Direct]:
        """All of them: whoever types a patient's ID waits for nothing else."""
        return [Direct(path, answer, spanned=True) for path, answer in self._routes]

    async def studies(self, request: Request) -> Response:
        """Studies."""
        return await self._search(request, Level.STUDY)

    async def series(self, request: Request) -> Response:
        """Series, of a study or of all."""
        return await self._search(request, Level.SERIES)

    async def instances(self, request: Request) -> Response:
        """Instances, of a series, a study or of all."""
        return await self._search(request, Level.INSTANCE)

    async def _search(self, request: Request, level: Level) -> Response:
        offer = choose(ranges_of(request), _OFFERS)
        if offer is None:
            raise NotAcceptable(f'{each.media_type}; type="{each.part_type}"' if each.part_type else each.media_type
                                for each in _OFFERS[:3])  # fmt: skip
        named = resource_of(request) if "study" in request.path_params else Resource("")
        asked = parse_search(
            level,
            request.query_params.multi_items(),
            study_instance_uid=named.study_instance_uid,
            series_instance_uid=named.series_instance_uid,
            max_results=self._max_results,
        )
        url = f"{http.origin(request, self._public_url)}{self._root}"
        page = await handlers.search(asked, url, index=self._index, events=self._events, caller=http.caller(request))
        response = _response(page, offer)
        for warning in (*asked.warnings, *([_MORE] if page.more else [])):
            response.headers.append("Warning", f'299 {url} "{warning}"')
        return await packed_answer(response, request.headers.get("accept-encoding"))


def _response(page: Page, offer: Offer) -> Response:
    if not page.found:
        return Response(status_code=204, headers=PRIVATE)  # PS3.18 Table 10.6.3-1
    if _XML in (offer.media_type, offer.part_type):
        boundary = new_boundary()
        return Response(_parts(page, boundary), media_type=related(_XML, boundary), headers=PRIVATE)
    body = b"[" + b",".join(answer_json(each, page.shape) for each in page.found) + b"]"
    return Response(body, media_type=offer.media_type, headers=PRIVATE)


def _parts(page: Page, boundary: str) -> bytes:
    """A part a result (PS3.18 8.7.3.2)."""
    head = part_head(boundary, _XML)
    parts = [head + native_dicom_model(each) + PART_TAIL for each in page.results]
    return b"".join((*parts, closing(boundary)))
