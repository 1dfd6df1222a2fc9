"""STOW-RS (PS3.18 10.5). One request is one delivery."""

from __future__ import annotations

from collections.abc import AsyncIterator

from fastapi import APIRouter, Request, Response
from starlette.requests import ClientDisconnect

from services.chassis import http
from services.dicom import stow, uids
from services.dicom.accept import parse_accept
from services.dicom.multipart import MultipartError
from services.dicom.reasons import Reason
from services.ingest import codings
from services.ingest.codings import BrokenCoding
from services.ingest.errors import IllegalStudy, NotMultipart
from services.ingest.intake import Front
from services.ingest.model import Announced, Outcome, Verdict
from services.ingest.receiving import payload_of, receive

_JSON = "application/dicom+json"
_XML = "application/dicom+xml"


def router(
    front: Front, *, public_url: str = "", root: str = "/dicom-web", max_metadata_bytes: int = 16 * 1024**2
) -> APIRouter:
    """The routes of STOW-RS under `root`.

    Args:
        front: where deliveries go.
        public_url: for links, see `http.origin`.
        root: of all paths.
        max_metadata_bytes: of metadata in one request that comes apart from its bulk data.
    """
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
        payload = payload_of(request.headers.get("content-type", ""))
        body: AsyncIterator[bytes] = request.stream()
        coded = codings.understood(request.headers.get("content-encoding", ""))
        if coded is None:
            told = {"Accept-Encoding": ", ".join(codings.CODINGS)}
            return http.problem(415, "unsupported-coding", "the Content-Encoding is not understood here", told)
        if coded:
            body = codings.decoded(body)
        verdicts: list[Verdict] = []
        broken = False
        async with front.delivery(http.caller(request)) as intake:
            try:
                await receive(
                    body,
                    payload,
                    intake,
                    Announced(study_instance_uid=study_instance_uid),
                    base=f"{http.origin(request, public_url)}{request.url.path}",
                    max_metadata_bytes=max_metadata_bytes,
                )
            except (MultipartError, BrokenCoding):
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
