"""De-identification for others of the hospital zone: `POST /deidentify`, STOW-RS in, WADO-RS out (PS3.18 10.5, 10.4).

What may not leave is left out, and counted by reason in the header `Plexus-Refused`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from services.anonymise.engine.deidentifying import Policy
from services.anonymise.handlers.serving import deidentify_all
from services.anonymise.model import DeidentifiedInstance
from services.anonymise.ports import Releases
from services.chassis import http
from services.dicom import multipart
from services.dicom.multipart import MultipartError, MultipartParser, PartBegin, PartData, PartEnd

_DICOM = "application/dicom"


class _TooLargeError(Exception):
    pass


def router(*, policy: Policy, releases: Releases, most_bytes: int) -> APIRouter:
    """The routes.

    Args:
        most_bytes: of one request; it is in memory once, its pixels not copied.
    """
    routes = APIRouter()

    @routes.post("/deidentify")
    async def deidentify(request: Request) -> Response:
        try:
            boundary = multipart.multipart_boundary(request.headers.get("content-type", ""))
            files = [file async for file in _files(request.stream(), boundary, most_bytes)]
        except MultipartError as error:
            return http.problem(400, error.reason.value, error.reason.text)
        except _TooLargeError:
            return http.problem(413, "too-large", "the request is larger than this service accepts at a time")
        cleaned = await deidentify_all(files, principal=http.caller(request), policy=policy, releases=releases)
        told = ", ".join(f"{code}={number}" for code, number in sorted(cleaned.refused.items()))
        headers = {"Plexus-Refused": told} if told else {}
        if not cleaned.instances:
            return http.problem(409, "nothing-may-leave", "no instance of the request may leave", headers)
        boundary = multipart.new_boundary()
        return StreamingResponse(
            _body(cleaned.instances, boundary),
            202 if told else 200,
            headers,
            media_type=multipart.related(_DICOM, boundary),
        )

    return routes


async def _files(chunks: AsyncIterator[bytes], boundary: str, most_bytes: int) -> AsyncIterator[bytes]:
    """The parts of the body, each whole."""
    parser = MultipartParser(boundary)
    parts: list[bytes] = []
    total = 0
    async for chunk in chunks:
        total += len(chunk)
        if total > most_bytes:
            raise _TooLargeError
        for event in parser.feed(chunk):
            match event:
                case PartBegin():
                    parts = []
                case PartData(data):
                    parts.append(data)
                case PartEnd():
                    yield b"".join(parts)
    parser.close()


def _body(instances: tuple[DeidentifiedInstance, ...], boundary: str) -> Iterator[bytes | memoryview]:
    for instance in instances:
        yield multipart.part_head(boundary, _DICOM)
        yield from instance.parts
        yield multipart.PART_TAIL
    yield multipart.closing(boundary)
