"""What no other route answers: OPTIONS (PS3.18 8.9), methods that a resource does not know, what is no resource."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response

from services.archive import capabilities
from services.archive.api.asking import ranges_of
from services.archive.errors import NotAcceptable
from services.chassis import http
from services.dicom.accept import Offer, choose
from services.dicom.dicom_json import dumps

_METHODS: Final = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"]
_WADL: Final = "application/vnd.sun.wadl+xml"
_OFFERS: Final = (Offer(_WADL), Offer("application/json"))


def router(*, public_url: str, root: str) -> APIRouter:
    """What is left under `root`; to be included after all others."""
    routes = APIRouter()

    @routes.api_route(root, methods=_METHODS, include_in_schema=False)
    @routes.api_route(f"{root}/", methods=_METHODS, include_in_schema=False)
    async def service(request: Request) -> Response:
        if request.method != "OPTIONS":
            return _not_allowed(("OPTIONS",))
        offer = choose(ranges_of(request), _OFFERS)
        if offer is None:
            raise NotAcceptable(each.media_type for each in _OFFERS)
        base = f"{http.origin(request, public_url)}{root}"
        body = capabilities.wadl(base) if offer.media_type == _WADL else dumps(capabilities.listed(base))
        return Response(body, media_type=offer.media_type, headers={"Allow": "OPTIONS", "Vary": "Accept"})

    @routes.api_route(f"{root}/{{rest:path}}", methods=_METHODS, include_in_schema=False)
    async def other(request: Request) -> Response:
        found = capabilities.find(request.path_params["rest"])
        if found is None:
            return http.problem(404, "no-such-resource", "DICOMweb has no such resource here")
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Allow": ", ".join(found.allow)})
        return _not_allowed(found.allow)

    return routes


def _not_allowed(methods: tuple[str, ...]) -> Response:
    allow = {"Allow": ", ".join(methods)}
    return http.problem(405, "method-not-allowed", f"this resource knows {allow['Allow']}", allow)
