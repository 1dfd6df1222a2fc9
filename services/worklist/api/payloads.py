"""Data sets of work items on the wire: DICOM JSON and the Native DICOM Model (PS3.18 11.1.3, F, PS3.19 A)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from fastapi import Request, Response

from services.dicom.accept import MULTIPART, Offer, choose, parse_accept
from services.dicom.attributes import vr_of
from services.dicom.dicom_json import DicomJson, dumps, loads
from services.dicom.matching import NUMERIC_VRS
from services.dicom.multipart import (
    PART_TAIL,
    MultipartError,
    MultipartParser,
    PartData,
    closing,
    multipart_boundary,
    new_boundary,
    parse_content_type,
    part_head,
    related,
)
from services.dicom.native_xml import NativeXmlError, native_dicom_model, parse_native
from services.worklist.ups.refusals import WorkItemRefusedError, invalid

JSON: Final = "application/dicom+json"
_XML: Final = "application/dicom+xml"
_OFFERS: Final = (Offer(JSON), Offer("application/json"), Offer(MULTIPART, _XML), Offer(_XML))
_MOST_BYTES: Final = 4 * 1024 * 1024
_MOST_DEPTH: Final = 32
_NUMBERS: Final = NUMERIC_VRS | {"FL", "FD"}
_TAG: Final = re.compile(r"[0-9A-Fa-f]{8}")
_VR: Final = re.compile(r"[A-Z]{2}")
PRIVATE: Final = {"Cache-Control": "private, no-cache"}


async def read(request: Request) -> DicomJson:
    """The one data set of a request; an empty one where there is no body.

    Raises:
        WorkItemRefusedError: it is of another media type (415), too large (413), or cannot be read (400).
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BYTES:
            raise WorkItemRefusedError("too-large", f"the body has more than {_MOST_BYTES} bytes", status=413)
    if not body.strip():
        return {}
    declared = request.headers.get("content-type", JSON)
    try:
        media_type = parse_content_type(declared).media_type
        if media_type in (JSON, "application/json"):
            return _of_json(body)
        if media_type == _XML:
            return _data_set(parse_native(body), 0)
        if media_type == MULTIPART:
            return _data_set(parse_native(_only_part(body, multipart_boundary(declared, _XML))), 0)
    except MultipartError as error:
        raise invalid(str(error)) from None
    except NativeXmlError as error:
        raise invalid(f"the body is no Native DICOM Model: {error}") from None
    raise WorkItemRefusedError("media-type", f"{JSON} or {MULTIPART} with {_XML} is expected", status=415)


def _of_json(body: bytes) -> DicomJson:
    try:
        found = loads(body)
    except ValueError:
        raise invalid("the body is no JSON") from None
    if isinstance(found, list) and len(found) == 1:
        found = found[0]
    if b"\\u0000" in body:
        raise invalid("the body has a character that no text of DICOM has")
    return _data_set(found, 0)


def _data_set(found: Any, depth: int) -> DicomJson:
    """What came as a data set, if it is one at every depth; values that say nothing are left out (PS3.18 F.2.5)."""
    if not isinstance(found, dict) or depth > _MOST_DEPTH:
        raise invalid("the body is not one data set in DICOM JSON")
    checked: DicomJson = {}
    for tag, element in found.items():
        vr = element.get("vr") if isinstance(element, dict) else None
        values = element.get("Value", []) if isinstance(element, dict) else None
        if not _TAG.fullmatch(tag) or not isinstance(vr, str) or not _VR.fullmatch(vr) or not isinstance(values, list):
            raise invalid("the body is not one data set in DICOM JSON")
        known = vr_of(tag)
        if known not in (vr, "UN") and not {vr, known}.isdisjoint(("SQ", "PN")):
            raise invalid("the body has an attribute that is a sequence, or a name, where it cannot be one")
        if vr == "SQ":
            values = [_data_set(item, depth + 1) for item in values]
        elif not all(_is_value(value, vr) for value in values):
            raise invalid("the body is not one data set in DICOM JSON")
        elif all(value in (None, "", {}) for value in values):
            values = []
        rest = {name: each for name, each in element.items() if name != "Value"}
        checked[tag.upper()] = rest | ({"Value": values} if values else {})
    return checked


def _is_value(value: Any, vr: str) -> bool:
    """Whether a value is of the type that its VR has in JSON (PS3.18 Table F.2.3-1)."""
    if value is None:
        return True
    if vr == "PN":
        return isinstance(value, dict) and all(isinstance(part, str) for part in value.values())
    return isinstance(value, str) or (vr in _NUMBERS and type(value) in (int, float))


def _only_part(body: bytes, boundary: str) -> bytes:
    parser = MultipartParser(boundary)
    events = [*parser.feed(body), *parser.close()]
    return b"".join(bytes(event.data) for event in events if isinstance(event, PartData))


def accepted(request: Request) -> Offer:
    """How the client wants its answer.

    Raises:
        WorkItemRefusedError: in a way that we cannot (406).
    """
    asked = request.query_params.get("accept") or request.headers.get("accept")
    offer = choose(parse_accept(asked.replace("dicom json", "dicom+json") if asked else None), _OFFERS)
    if offer is None:
        raise WorkItemRefusedError("not-acceptable", f"{JSON} or {MULTIPART} with {_XML} is answered", status=406)
    return offer


def answer(found: Sequence[DicomJson], offer: Offer, status: int = 200) -> Response:
    """Data sets as the client wants them."""
    if _XML not in (offer.media_type, offer.part_type):
        return Response(dumps(list(found)), status, PRIVATE, media_type=offer.media_type)
    boundary = new_boundary()
    parts = [part_head(boundary, _XML) + native_dicom_model(each) + PART_TAIL for each in found]
    return Response(b"".join((*parts, closing(boundary))), status, PRIVATE, media_type=related(_XML, boundary))
