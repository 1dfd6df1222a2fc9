"""What every route reads of a request."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from fastapi import Request

from services.archive.errors import InvalidQuery
from services.archive.model import Purpose, Resource
from services.contracts.events import Action
from services.dicom.accept import MediaRange, parse_accept

_BYTES: Final = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*", re.ASCII)
_LOST_PLUS: Final = re.compile(r"(?<=/dicom) (?=json|xml)")

_EXPORTS: Final = ("stored", "deidentified")


def ranges_of(request: Request) -> tuple[MediaRange, ...]:
    """What the client accepts: the query parameter `accept` counts before the header (PS3.18 8.3.3.1).

    A `+` that was not escaped in a query has become a space (`application/dicom json`): what is meant is clear.
    """
    if request.scope["query_string"] and (asked := request.query_params.get("accept")):
        return parse_accept(_LOST_PLUS.sub("+", asked))
    # A header may come in several lines, which mean the same as one with commas (RFC 9110 5.3).
    values = [value for name, value in request.scope["headers"] if name == b"accept"]
    return parse_accept(b",".join(values).decode("latin-1") if values else None)


def resource_of(request: Request) -> Resource:
    """What the path names."""
    named = request.path_params
    return Resource(named["study"], named.get("series", ""), named.get("instance", ""))


def export_of(request: Request) -> tuple[str, Purpose] | None:
    """What a client says that instances are read for, in the header `Plexus-Export`: the record says so as well.

    Raises:
        InvalidQuery: the header says something else than `stored` or `deidentified`.
    """
    told = request.headers.get("plexus-export")
    if told is None:
        return None
    if told not in _EXPORTS:
        raise InvalidQuery("Plexus-Export")
    return told, Purpose(Action.EXPORT)


def known_to(request: Request) -> Callable[[str], bool]:
    """Says whether an entity tag is among those that the client has (RFC 9110 13.1.2)."""
    value = request.headers.get("if-none-match")
    if value is None:
        return _knows_nothing
    had = {each.strip().removeprefix("W/") for each in value.split(",")}
    return lambda tag: tag in had or "*" in had


def _knows_nothing(_: str) -> bool:
    return False


def range_of(request: Request, length: int, etag: str) -> tuple[int, int] | None:
    """The one byte range that is asked for: its first byte and its length; None where the whole is to be sent.

    A length of 0 says that it begins behind the end (416). Several ranges, units other than bytes and what cannot be
    read are passed over (RFC 9110 14.2), and so is a range of another version than this one (If-Range, 13.1.5).
    """
    found = _BYTES.fullmatch(request.headers.get("range", ""))
    if found is None or found[1] == found[2] == "" or request.headers.get("if-range", etag) != etag:
        return None
    if found[1] == "":  # so many bytes at the end
        wanted = min(int(found[2]), length)
        return length - wanted, wanted
    first = int(found[1])
    last = int(found[2]) if found[2] else max(first, length)
    if last < first:
        return None
    return first, max(min(last, length - 1) - first + 1, 0)
