"""Metadata of WADO-RS (PS3.18 10.4.1.1.2): JSON, packed as the client likes it, or XML."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from fastapi import APIRouter, Request, Response

from services.archive.api.asking import known_to, ranges_of, resource_of
from services.archive.handlers import metadata as handlers
from services.archive.handlers.metadata import Described
from services.archive.handlers.recording import Accesses
from services.archive.model import etag
from services.archive.negotiation import DICOM_XML
from services.archive.packing import Coding, coding_of, packed, packing
from services.archive.ports import Answers, Documents, Index
from services.archive.sending import PRIVATE, Part, boundary_of, not_modified, streamed, written
from services.chassis import http
from services.chassis.faults import Fault
from services.chassis.http import Direct
from services.dicom import dicom_json
from services.dicom.multipart import related
from services.dicom.native_xml import native_dicom_model

_VARY: Final = "Accept, Accept-Encoding"
_AT_ONCE: Final = 5000
"""Metadata of up to so many instances of one series is made as a whole and remembered; more is streamed."""


class Metadata:
    """The metadata of studies, series and instances.

    Args:
        accesses: where each answer is noted before it goes out.
        answers: what went out before, by entity tag.
        public_url: address of the edge, for clients whose Host header has no port.
        root: path of the service.
    """

    def __init__(
        self,
        *,
        index: Index,
        documents: Documents,
        answers: Answers,
        accesses: Accesses,
        public_url: str = "",
        root: str = "/dicom-web",
    ) -> None:
        self._index = index
        self._documents = documents
        self._answers = answers
        self._accesses = accesses
        self._public_url = public_url
        self._root = root
        study = f"{root}/studies/{{study}}"
        series = f"{study}/series/{{series}}"
        self._paths = tuple(f"{each}/metadata" for each in (study, series, f"{series}/instances/{{instance}}"))

    def router(self) -> APIRouter:
        """The routes."""
        routes = APIRouter()
        for path in self._paths:
            routes.add_api_route(path, self.metadata, methods=["GET", "HEAD"])
        return routes

    def direct(self) -> list[Direct]:
        """All of them: a viewer shows nothing before it has them."""
        return [Direct(path, self.metadata, spanned=True) for path in self._paths]

    async def metadata(self, request: Request) -> Response:
        """Metadata of whatever the path names."""
        resource, caller = resource_of(request), http.caller(request)
        try:
            found = await handlers.find(resource, ranges_of(request), index=self._index)
        except Fault as fault:
            await self._accesses.refuse(resource, "metadata", fault, caller=caller)
            raise
        if resource.series_instance_uid:
            await self._accesses.note(resource, "metadata", caller=caller, instances=found.instances)
        else:
            await self._accesses.record(resource, "metadata", caller=caller, instances=found.instances)
        base = f"{http.origin(request, self._public_url)}{self._root}"
        coding = coding_of(request.headers.get("accept-encoding"))
        tag = etag(found.resource.path, base, found.form, coding, *found.version)
        if known_to(request)(tag):
            return not_modified(tag, _VARY)
        bodies = handlers.bodies(found, base, index=self._index, documents=self._documents)
        head = request.method == "HEAD"
        if found.form.media_type == DICOM_XML:
            return _xml(found, bodies, coding, tag, head=head)
        if len(found.series) > 1 or any(each.instances > _AT_ONCE for each in found.series):
            content = packing(_joined(bodies), coding)
            return streamed(content, found.form.media_type, _headers(tag, coding), head=head)
        return await self._whole(found, bodies, coding, tag)

    async def _whole(self, found: Described, bodies: AsyncIterator[bytes], coding: Coding, tag: str) -> Response:
        body = self._answers.get(tag)
        if body is None:
            body, made = await packed(await anext(bodies), coding)
            if made is not coding:
                return Response(body, media_type=found.form.media_type, headers=_headers(tag, made))
            self._answers.put(tag, body)
        return Response(body, media_type=found.form.media_type, headers=_headers(tag, coding))


def _headers(tag: str, coding: Coding) -> dict[str, str]:
    headers = {**PRIVATE, "Vary": _VARY, "ETag": tag}
    return headers if coding is Coding.IDENTITY else {**headers, "Content-Encoding": coding}


async def _joined(bodies: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """One array of the arrays."""
    before = b"["
    async for body in bodies:
        yield before + body[1:-1]
        before = b","
    yield b"]"


def _xml(found: Described, bodies: AsyncIterator[bytes], coding: Coding, tag: str, *, head: bool) -> Response:
    """Native DICOM Model (PS3.19 A.1), a part an instance, each made when its turn comes."""
    content_type, content = DICOM_XML, _models(bodies)
    if found.form.multipart:
        boundary = boundary_of(tag)
        content_type, content = related(DICOM_XML, boundary), written(_parts(content), boundary)
    return streamed(packing(content, coding), content_type, _headers(tag, coding), head=head)


async def _models(bodies: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async for body in bodies:
        for attributes in await asyncio.to_thread(dicom_json.loads, body):
            yield await asyncio.to_thread(native_dicom_model, attributes)


async def _parts(models: AsyncIterator[bytes]) -> AsyncIterator[Part]:
    async for model in models:
        yield Part(DICOM_XML, "", _one(model))


async def _one(model: bytes) -> AsyncIterator[bytes]:
    yield model
