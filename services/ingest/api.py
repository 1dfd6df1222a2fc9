"""The HTTP edge: STOW-RS (PS3.18 10.5). One request is one delivery."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from services.chassis import http
from services.dicom import stow, uids
from services.dicom.accept import parse_accept
from services.dicom.multipart import (
    MultipartError,
    MultipartParser,
    MultipartReason,
    PartBegin,
    PartData,
    PartEnd,
    multipart_boundary,
    parse_content_type,
)
from services.dicom.reasons import Reason
from services.ingest.errors import EmptyRequest, IllegalStudy, NotMultipart, UnsupportedMedia
from services.ingest.intake import Arrival, Front, Intake
from services.ingest.model import Announced, Outcome, Verdict

_JSON = "application/dicom+json"
_XML = "application/dicom+xml"
_DICOM = "application/dicom"


def router(front: Front, *, public_url: str = "", root: str = "/dicom-web") -> APIRouter:
    """The routes of STOW-RS under `root`; `public_url` is for links, see `http.origin`."""
    routes = APIRouter()

    @routes.post(f"{root}/studies")
    async def store_instances(request: Request) -> Response:
        return await _store(request, "")

    @routes.post(f"{root}/studies/{{study_instance_uid}}")
    async def store_study_instances(request: Request, study_instance_uid: str) -> Response:
        if not uids.is_legal(study_instance_uid):
            raise IllegalStudy
        return await _store(request, study_instance_uid)

    async def _store(request: Request, study_instance_uid: str) -> Response:
        boundary = _boundary(request.headers.get("content-type", ""))
        verdicts: list[Verdict] = []
        broken = False
        async with front.delivery(http.caller(request)) as intake:
            try:
                await _read(request.stream(), boundary, intake, Announced(study_instance_uid=study_instance_uid))
            except MultipartError as error:
                if error.reason is MultipartReason.NO_PARTS:
                    raise EmptyRequest from None
                broken = True
            except ClientDisconnect:
                return Response(status_code=400)  # nobody hears it; what came in whole is stored
            intake.close()
            verdicts = [verdict async for verdict in intake.verdicts()]
        if broken:
            if not any(verdict.kept for verdict in verdicts):
                raise NotMultipart
            verdicts.append(Verdict.refused(Reason.TRUNCATED, Announced()))
        return _answer(request, f"{http.origin(request, public_url)}{root}", verdicts)

    return routes


def _boundary(content_type: str) -> str:
    try:
        return multipart_boundary(content_type, _DICOM)
    except MultipartError as error:
        match error.reason:
            case MultipartReason.NO_BOUNDARY:
                raise NotMultipart from None
            case _:
                raise UnsupportedMedia from None


async def _read(body: AsyncIterator[bytes], boundary: str, intake: Intake, announced: Announced) -> None:
    parser = MultipartParser(boundary)
    arrival: Arrival | None = None
    try:
        async for chunk in body:
            for event in parser.feed(chunk):
                match event:
                    case PartBegin(headers):
                        arrival = intake.begin(announced)
                        if not _is_dicom(headers.get("content-type", _DICOM)):
                            arrival.verdict = Verdict.refused(Reason.NOT_DICOM, announced)
                    case PartData(data):
                        assert arrival is not None  # noqa: S101  # the parser's own order
                        await arrival.write(data)
                    case PartEnd():
                        assert arrival is not None  # noqa: S101  # the parser's own order
                        whole, arrival = arrival, None
                        await intake.offer(whole)
        parser.close()
    finally:
        if arrival is not None:
            await arrival.draft.discard()


def _is_dicom(content_type: str) -> bool:
    """Some senders label a part as plain bytes; its content is checked in any case."""
    try:
        return parse_content_type(content_type).media_type in (_DICOM, "application/octet-stream")
    except MultipartError:
        return False


def _answer(request: Request, root: str, verdicts: list[Verdict]) -> Response:
    """The store instances response (PS3.18 10.5.3)."""
    stored = [
        stow.Stored(
            sop_class_uid=verdict.sop_class_uid,
            sop_instance_uid=verdict.sop_instance_uid,
            retrieve_url=f"{root}/studies/{verdict.study_instance_uid}/series/{verdict.series_instance_uid}"
            f"/instances/{verdict.sop_instance_uid}",
            warning_reason=verdict.status or None,
        )
        for verdict in verdicts
        if verdict.kept
    ]
    failed = [
        stow.Failed(verdict.status, verdict.sop_class_uid, verdict.sop_instance_uid, verdict.reason)
        for verdict in verdicts
        if not verdict.kept
    ]
    studies = {verdict.study_instance_uid for verdict in verdicts if verdict.kept}
    study_url = f"{root}/studies/{studies.pop()}" if len(studies) == 1 else None
    status, headers = stow.status_code(stored, failed), {}
    if not stored and any(verdict.outcome is Outcome.UNAVAILABLE for verdict in verdicts):
        status, headers = 503, {"Retry-After": "5"}
    if _wants_xml(request.headers.get("accept", "")):
        return Response(stow.store_response_xml(study_url, stored, failed), status, headers, media_type=_XML)
    return Response(stow.store_response_json(study_url, stored, failed), status, headers, media_type=_JSON)


def _wants_xml(accept: str) -> bool:
    """JSON unless XML is asked for before it."""
    for media_range in parse_accept(accept):
        if media_range.media_type in (_JSON, "application/json", "*/*", "application/*"):
            return False
        if media_range.media_type == _XML:
            return True
    return False
