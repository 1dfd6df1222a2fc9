"""Bodies of answers: whole instances, frames, bulk data, as multipart or alone (PS3.18 8.6, 8.7)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from fastapi import Response
from starlette.responses import StreamingResponse

from services.archive import content
from services.archive.model import Located
from services.archive.negotiation import DICOM, Form, bulk_form, frames_form, instances_form
from services.archive.ports import Objects, PixelDecoder
from services.dicom.accept import MediaRange
from services.dicom.multipart import PART_TAIL, closing, new_boundary, part_head, related
from services.store.model import InstanceRow

PRIVATE: Final = {"Cache-Control": "private, no-cache", "Vary": "Accept"}
"""Only the asking client may keep an answer, and it has to ask again whether it still holds."""

_PIXEL_DATA: Final = "7FE00010"


class Sender:
    """Sends what handlers have found, in the form that the client accepts."""

    def __init__(self, *, objects: Objects, decoder: PixelDecoder) -> None:
        self._objects = objects
        self._decoder = decoder

    async def instances(self, rows: Sequence[InstanceRow], ranges: Sequence[MediaRange]) -> Response:
        """PS3.10 files, streamed; the length is said beforehand where they go out as stored.

        Raises:
            NotAcceptable: in none of the ways that the client accepts.
            NotDecodable: the one instance cannot be decoded.
        """
        form = instances_form(ranges, {row.transfer_syntax_uid for row in rows}, single=len(rows) == 1)
        if form.decode and len(rows) == 1:
            return _alone_or_part(await self._decoded(rows[0]), form)
        if not form.multipart:
            stored = _typed(DICOM, rows[0].transfer_syntax_uid)
            headers = {**PRIVATE, "Content-Length": str(rows[0].size)}
            return StreamingResponse(self._objects.stream(rows[0].digest), media_type=stored, headers=headers)
        boundary = new_boundary()
        heads = [part_head(boundary, _typed(DICOM, form.transfer_syntax or row.transfer_syntax_uid)) for row in rows]
        headers = dict(PRIVATE)
        if not form.decode:
            parts = sum(len(head) + row.size + len(PART_TAIL) for head, row in zip(heads, rows, strict=True))
            headers["Content-Length"] = str(parts + len(closing(boundary)))
        body = self._files(rows, heads, form, boundary)
        return StreamingResponse(body, media_type=related(DICOM, boundary), headers=headers)

    async def frames(self, located: Located, numbers: Sequence[int], ranges: Sequence[MediaRange]) -> Response:
        """Frames, one range read each.

        Raises:
            NoSuchFrame: one of them is not there.
            NotAcceptable: in none of the ways that the client accepts.
            NotDecodable: the one frame cannot be decoded.
        """
        wanted = content.spans(located, numbers)
        form = frames_form(ranges, located.transfer_syntax_uid, single=len(wanted) == 1)
        contents = content.frame_contents(located, wanted, form, objects=self._objects, decoder=self._decoder)
        if len(wanted) == 1:
            return _alone_or_part(await anext(contents), form)
        boundary = new_boundary()
        body = _parts(contents, form, boundary)
        return StreamingResponse(body, media_type=related(form.media_type, boundary), headers=PRIVATE)

    async def bulk(self, located: Located, path: str, ranges: Sequence[MediaRange]) -> Response:
        """The value of one element; encapsulated pixels are sent as their frames.

        Raises:
            NoSuchBulkData: there is none at this path.
            NotAcceptable: in none of the ways that the client accepts.
        """
        place = content.bulk(located, path)
        if place.encapsulated and path == _PIXEL_DATA and located.layout.frames is not None:
            return await self.frames(located, range(1, located.layout.frames.count + 1), ranges)
        form = bulk_form(ranges)
        return _alone_or_part(await content.bulk_content(located, place, objects=self._objects), form)

    async def _files(
        self, rows: Sequence[InstanceRow], heads: Sequence[bytes], form: Form, boundary: str
    ) -> AsyncIterator[bytes]:
        for row, head in zip(rows, heads, strict=True):
            yield head
            if form.decode and row.transfer_syntax_uid != form.transfer_syntax:
                yield await self._decoded(row)
            else:
                async for chunk in self._objects.stream(row.digest):
                    yield chunk
            yield PART_TAIL
        yield closing(boundary)

    async def _decoded(self, row: InstanceRow) -> bytes:
        return await self._decoder.instance(await self._objects.read(row.digest))


def _alone_or_part(whole: bytes, form: Form) -> Response:
    media_type = _typed(form.media_type, form.transfer_syntax)
    if not form.multipart:
        return Response(whole, media_type=media_type, headers=PRIVATE)
    boundary = new_boundary()
    body = b"".join((part_head(boundary, media_type), whole, PART_TAIL, closing(boundary)))
    return Response(body, media_type=related(form.media_type, boundary), headers=PRIVATE)


async def _parts(contents: AsyncIterator[bytes], form: Form, boundary: str) -> AsyncIterator[bytes]:
    head = part_head(boundary, _typed(form.media_type, form.transfer_syntax))
    async for each in contents:
        yield head
        yield each
        yield PART_TAIL
    yield closing(boundary)


def _typed(media_type: str, transfer_syntax: str) -> str:
    return f"{media_type}; transfer-syntax={transfer_syntax}" if transfer_syntax else media_type
