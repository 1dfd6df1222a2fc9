"""What every route reads of a request."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Request

from services.archive.model import Resource
from services.dicom.accept import MediaRange, parse_accept


def ranges_of(request: Request) -> tuple[MediaRange, ...]:
    """What the client accepts: the query parameter `accept` counts before the header (PS3.18 8.3.3.1)."""
    return parse_accept(request.query_params.get("accept") or request.headers.get("accept"))


def resource_of(request: Request) -> Resource:
    named = request.path_params
    return Resource(named["study"], named.get("series", ""), named.get("instance", ""))


def known_to(request: Request) -> Callable[[str], bool]:
    """Says whether an entity tag is among those that the client has (RFC 9110 13.1.2)."""
    had = {each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")}
    return lambda tag: tag in had or "*" in had
