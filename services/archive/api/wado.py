"""WADO-RS (PS3.18 10.4): instances, frames, bulk data, pixel data. Metadata and rendered resources have their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Final, TypeVar

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from services.archive import content, gathering
from services.archive.api.asking import export_of, known_to, range_of, ranges_of, resource_of
from services.archive.errors import NoSuchBulkData, NoSuchPixelData
from services.archive.handlers import retrieve as retrieving
from services.archive.handlers.recording import Accesses
from services.archive.model import Located, Purpose, Resource, etag
from services.archive.negotiation import DICOM, Form, bulk_form, typed
from services.archive.ports import Index, Objects, PixelDecoder, Places
from services.archive.sending import (
    PRIVATE,
    Part,
    alone_or_part,
    multipart,
    multipart_length,
    not_modified,
    streamed,
)
from services.chassis import http
from services.chassis.faults import Fault
from services.chassis.http import Direct
from services.chassis.principal import Principal
from services.dicom.layout import BulkRange
from services.store.model import InstanceRow

_METHODS: Final = ["GET", "HEAD"]
_SHOWN: Final = Purpose()
AnyT = TypeVar("AnyT")


class Wado:
    """The resources of instances and their parts.

    Args:
        places: where instances lie, for what is asked for by thousands.
        accesses: where each answer is noted before it goes out.
        public_url: address of the edge, for clients whose Host header has no port.
        root: path of the service.
    """

    def __init__(
        self,
        *,
        index: Index,
        places: Places,
        accesses: Accesses,
        objects: Objects,
        pixels: PixelDecoder,
        public_url: str = "",
        root: str = "/dicom-web",
    ) -> None:
        self._index = index
        self._places = places
        self._accesses = accesses
        self._objects = objects
        self._pixels = pixels
        self._public_url = public_url
        self._root = root
        self._study = f"{root}/studies/{{study}}"
        self._series = f"{self._study}/series/{{series}}"
        self._instance = f"{self._series}/instances/{{instance}}"

    def router(self) -> APIRouter:
        """The routes."""
        routes = APIRouter()
        levels = (self._study, self._series, self._instance)
        for path, answer in (
            *((level, self.files) for level in levels),
            *((f"{level}/pixeldata", self.pixel_data) for level in levels),
            *((f"{level}/bulkdata", self.all_bulk_data) for level in levels),
            (f"{self._instance}/bulkdata/{{path}}", self.bulk_data),
            (f"{self._instance}/frames/{{frames}}", self.frames),
        ):
            routes.add_api_route(path, answer, methods=_METHODS, response_model=None)
        return routes

    def direct(self) -> Direct:
        """The resource of frames, past the framework: viewers ask for each frame by itself."""
        return Direct(f"{self._instance}/frames/{{frames}}", self.frames)

    async def frames(self, request: Request) -> Response:
        """Frames (10.4.1.1.6): one range read each."""
        return await self._frames(request, content.frame_numbers(request.path_params["frames"]))

    async def _frames(self, request: Request, numbers: Sequence[int]) -> Response:
        resource, caller = resource_of(request), http.caller(request)
        try:
            found = await retrieving.frames(
                resource, numbers, ranges_of(request), places=self._places, index=self._index
            )
            known = known_to(request)(found.etag)
            response = not_modified(found.etag) if known else await self._frames_body(request, found)
        except Fault as fault:
            await self._accesses.refuse(resource, "frames", fault, caller=caller)
            raise
        if known or request.method == "HEAD":
            await self._accesses.note(resource, "frames", caller=caller)
        else:
            size = sum(content.frame_length(span) for span in found.spans)
            await self._accesses.note(resource, "frames", caller=caller, frames=len(numbers), size=size)
        return response

    async def _frames_body(self, request: Request, found: retrieving.Frames) -> Response:
        head, form = request.method == "HEAD", found.form
        contents = content.frame_contents(found.located, found.spans, form, objects=self._objects, pixels=self._pixels)
        if len(found.spans) == 1 and not (head and form.made):
            return alone_or_part(await anext(contents), form, found.etag)
        length = None
        if not form.made:
            length = multipart_length(
                ((form.content_type, "", content.frame_length(span)) for span in found.spans), found.etag
            )
        first = None if head else await anext(contents)
        return multipart(_as_parts(first, contents, form), form.media_type, found.etag, head=head, length=length)

    async def files(self, request: Request) -> Response:
        """Whole instances (10.4.1.1.1): PS3.10 files, streamed; their length is said beforehand where it is known."""
        resource, caller = resource_of(request), http.caller(request)
        head = request.method == "HEAD"
        detail, purpose = export_of(request) or ("instances", Purpose())
        try:
            found = await retrieving.files(resource, ranges_of(request), index=self._index)
            known = known_to(request)(found.etag)
            response = not_modified(found.etag) if known else await self._files_body(found, head=head)
        except Fault as fault:
            await self._accesses.refuse(resource, detail, fault, caller=caller, purpose=purpose)
            raise
        await self._note_rows(resource, detail, found.rows, caller, sent=not (head or known), purpose=purpose)
        return response

    async def _note_rows(
        self, resource: Resource, detail: str, rows: Sequence[InstanceRow], caller: Principal, *, sent: bool,
        purpose: Purpose = _SHOWN,
    ) -> None:  # fmt: skip
        size = sum(row.size for row in rows) if sent else 0
        if resource.sop_instance_uid:
            await self._accesses.note(resource, detail, caller=caller, size=size, purpose=purpose)
        else:
            await self._accesses.record(
                resource, detail, caller=caller, instances=len(rows), size=size, purpose=purpose
            )

    async def _files_body(self, found: retrieving.Files, *, head: bool) -> Response:
        form, rows = found.form, found.rows
        parts = self._files_parts(found)
        if form.made and not head:  # what cannot be made is to be heard of before the answer begins
            parts = await _begun(parts) or parts
        if not form.multipart:
            (row,) = rows
            headers = {"ETag": found.etag} | ({} if form.made else {"Content-Length": str(row.size)})
            content_type = typed(DICOM, form.transfer_syntax or row.transfer_syntax_uid)
            return streamed(_contents(parts), content_type, headers, head=head)
        length = None
        if not form.made:
            length = multipart_length(((typed(DICOM, r.transfer_syntax_uid), "", r.size) for r in rows), found.etag)
        return multipart(parts, DICOM, found.etag, head=head, length=length)

    async def _files_parts(self, found: retrieving.Files) -> AsyncIterator[Part]:
        for row in found.rows:
            syntax = found.form.transfer_syntax or row.transfer_syntax_uid
            if found.form.made and row.transfer_syntax_uid != syntax:
                chunks = self._made(row, syntax)
            else:
                chunks = self._objects.stream(row.digest, 0, row.size)
            yield Part(typed(DICOM, syntax), "", chunks)

    async def _made(self, row: InstanceRow, transfer_syntax: str) -> AsyncIterator[bytes]:
        async for located in retrieving.each([row], index=self._index):
            async for chunk in self._pixels.transcode(located, self._objects, transfer_syntax):
                yield chunk

    async def bulk_data(self, request: Request) -> Response:
        """The value of one element (10.4.1.1.5); encapsulated pixels are sent as their frames."""
        resource, caller = resource_of(request), http.caller(request)
        path = request.path_params["path"]
        try:
            located = await retrieving.place(resource, places=self._places)
            place = content.bulk(located, path)
            if content.has_frames(located, path):
                count = located.layout.frames.count if located.layout.frames is not None else 0
                return await self._frames(request, range(1, count + 1))
            ranges = ranges_of(request)
            # A byte range is of the content by itself: who asks for one wants it so.
            form = bulk_form(ranges, prefer_single="range" in request.headers)
            tag = etag(located.digest, path, form)
            response = await self._bulk_body(request, located, place, form, tag)
        except Fault as fault:
            await self._accesses.refuse(resource, "bulkdata", fault, caller=caller)
            raise
        sent = request.method != "HEAD" and response.status_code in (200, 206)
        await self._accesses.note(resource, "bulkdata", caller=caller, size=place.length if sent else 0)
        return response

    async def _bulk_body(self, request: Request, located: Located, place: BulkRange, form: Form, tag: str) -> Response:
        head = request.method == "HEAD"
        if known_to(request)(tag):
            return not_modified(tag)
        if form.multipart:
            length = None if place.encapsulated else multipart_length([(form.content_type, "", place.length)], tag)
            chunks = content.bulk_stream(located, place, objects=self._objects)
            return multipart(_one(Part(form.content_type, "", chunks)), form.media_type, tag, head=head, length=length)
        size = place.length
        if place.encapsulated:
            size = len(await content.bulk_content(located, place, objects=self._objects))
        headers = {"ETag": tag, "Accept-Ranges": "bytes", "Content-Length": str(size)}
        wanted = range_of(request, size, tag)
        if wanted is None or head:
            chunks = content.bulk_stream(located, place, objects=self._objects)
            return streamed(chunks, form.content_type, headers, head=head)
        first, length = wanted
        if length == 0:
            headers = {**PRIVATE, "Content-Range": f"bytes */{size}"}
            return http.problem(416, "range-not-satisfiable", "the range begins behind the end", headers)
        chunks = content.bulk_stream(located, place, objects=self._objects, first=first, length=length)
        headers |= {"Content-Length": str(length), "Content-Range": f"bytes {first}-{first + length - 1}/{size}"}
        return StreamingResponse(chunks, 206, {**PRIVATE, **headers}, form.content_type)

    async def pixel_data(self, request: Request) -> Response:
        """All pixels of a study, a series or an instance (10.4.1.1.5): a part a frame."""
        return await self._gathered(request, "pixeldata")

    async def all_bulk_data(self, request: Request) -> Response:
        """All bulk data of a study, a series or an instance (10.4.1.1.4): a part a value."""
        return await self._gathered(request, "bulkdata")

    async def _gathered(self, request: Request, kind: str) -> Response:
        resource, caller = resource_of(request), http.caller(request)
        ranges, root = ranges_of(request), f"{http.origin(request, self._public_url)}{self._root}"
        head = request.method == "HEAD"
        try:
            rows = await retrieving.rows_of(resource, index=self._index)
            kinds = await retrieving.alike(rows, index=self._index)
            forms = gathering.frame_forms(kinds, ranges)
            form = next(iter(forms.values()), None) or bulk_form(ranges, single=False)
            tag = etag(kind, root, *forms.items(), *(row.digest for row in rows))
            gather = gathering.pixel_parts if kind == "pixeldata" else gathering.bulk_parts
            instances = retrieving.each(rows, index=self._index)
            parts = gather(instances, forms, ranges, root, objects=self._objects, pixels=self._pixels)
            begun = await _begun(parts)
            if begun is None:
                raise NoSuchPixelData if kind == "pixeldata" else NoSuchBulkData
        except Fault as fault:
            await self._accesses.refuse(resource, kind, fault, caller=caller)
            raise
        known = known_to(request)(tag)
        await self._note_rows(resource, kind, rows, caller, sent=not (head or known))
        return not_modified(tag) if known else multipart(begun, form.media_type, tag, head=head)


async def _begun(parts: AsyncIterator[Part]) -> AsyncIterator[Part] | None:
    """The same parts, of which the first bytes have been made; None where there are none."""
    first = await anext(parts, None)
    if first is None:
        return None
    data = await anext(first.chunks, b"")
    return _resumed(replace(first, chunks=_joined(data, first.chunks)), parts)


async def _resumed(first: Part, others: AsyncIterator[Part]) -> AsyncIterator[Part]:
    yield first
    async for each in others:
        yield each


async def _joined(first: bytes, others: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for each in others:
        yield each


async def _one(each: AnyT) -> AsyncIterator[AnyT]:
    yield each


async def _as_parts(first: bytes | None, others: AsyncIterator[bytes], form: Form) -> AsyncIterator[Part]:
    if first is not None:
        yield Part(form.content_type, "", _one(first))
    async for each in others:
        yield Part(form.content_type, "", _one(each))


async def _contents(parts: AsyncIterator[Part]) -> AsyncIterator[bytes]:
    async for part in parts:
        async for chunk in part.chunks:
            yield chunk
