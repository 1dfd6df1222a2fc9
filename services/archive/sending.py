"""Bodies of answers: whole instances, frames, bulk data, as multipart or alone (PS3.18 8.6, 8.7)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import Response
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from services.archive.negotiation import Form
from services.archive.packing import Coding, coding_of, packed
from services.dicom.multipart import PART_TAIL, closing, part_head, related

PRIVATE: Final = {"Cache-Control": "private, no-cache", "Vary": "Accept"}
"""Only the asking client may keep an answer, and it has to ask again whether it still holds."""

_PRIVATE: Final = [(name.lower().encode(), value.encode()) for name, value in PRIVATE.items()]


class Pieces(Response):
    """A body whose pieces are at hand. They are sent one after another: joining them costs more than all the rest."""

    def __init__(self, pieces: Sequence[bytes], content_type: str, etag: str) -> None:
        """Send `pieces`; their length is said beforehand."""
        self.status_code = 200
        self.background = None
        self.body = b""
        self._pieces = pieces
        self.raw_headers = [
            (b"content-length", b"%d" % sum(map(len, pieces))),
            (b"content-type", content_type.encode("latin-1")),
            (b"etag", etag.encode("latin-1")),
            *_PRIVATE,
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send them."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        *before, last = (b"",) if scope["method"] == "HEAD" else self._pieces
        for piece in before:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": last})


_NONE: Final[tuple[bytes, ...]] = ()


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a multipart body.

    Attributes:
        content_type: of it.
        location: its own address; "" where it has none.
        chunks: its bytes.
    """

    content_type: str
    location: str
    chunks: AsyncIterator[bytes]


async def packed_answer(response: Response, accept_encoding: str | None) -> Response:
    """An answer at hand, packed as the client likes it."""
    response.headers["Vary"] = "Accept, Accept-Encoding"
    body, coding = await packed(bytes(response.body), coding_of(accept_encoding))
    if coding is not Coding.IDENTITY:
        response.body = body
        response.headers["Content-Length"] = str(len(body))
        response.headers["Content-Encoding"] = coding
    return response


def boundary_of(etag: str) -> str:
    """The boundary of the body that has this entity tag: the same bytes each time, so that the tag is a strong one.

    The tag is made from the SHA-256 of what is sent: no content can hold its own.
    """
    return f"plexus-{etag.strip(chr(34))}"


def alone_or_part(whole: bytes, form: Form, etag: str) -> Response:
    """One content: by itself, or as the one part of a multipart body."""
    if not form.multipart:
        return Pieces((whole,), form.content_type, etag)
    boundary = boundary_of(etag)
    pieces = (part_head(boundary, form.content_type), whole, PART_TAIL + closing(boundary))
    return Pieces(pieces, related(form.media_type, boundary), etag)


def not_modified(etag: str, vary: str = PRIVATE["Vary"]) -> Response:
    """The client has it already (RFC 9110 15.4.5)."""
    return Response(status_code=304, headers={**PRIVATE, "Vary": vary, "ETag": etag})


def streamed(chunks: AsyncIterator[bytes], content_type: str, headers: Mapping[str, str], *, head: bool) -> Response:
    """A body that is made while it is sent; of a HEAD request, its headers alone."""
    # Not a plain answer without a body, which would say that the length is 0.
    body = _nothing() if head else chunks
    return StreamingResponse(body, headers={**PRIVATE, **headers}, media_type=content_type)


def multipart(
    parts: AsyncIterator[Part], part_type: str, etag: str, *, head: bool, length: int | None = None
) -> Response:
    """Parts, one after another, as they come.

    Args:
        part_type: what the whole is said to consist of; a part may say more.
        length: of the whole body (`multipart_length`), where it is known.
    """
    boundary = boundary_of(etag)
    headers = {"ETag": etag} | ({} if length is None else {"Content-Length": str(length)})
    return streamed(written(parts, boundary), related(part_type, boundary), headers, head=head)


def multipart_length(parts: Iterable[tuple[str, str, int]], etag: str) -> int:
    """The length of a multipart body, from content type, location and length of each part."""
    boundary = boundary_of(etag)
    size = len(closing(boundary))
    for content_type, location, length in parts:
        size += len(_head(boundary, content_type, location)) + length + len(PART_TAIL)
    return size


async def written(parts: AsyncIterator[Part], boundary: str) -> AsyncIterator[bytes]:
    """The body that these parts make."""
    async for part in parts:
        yield _head(boundary, part.content_type, part.location)
        async for chunk in part.chunks:
            yield chunk
        yield PART_TAIL
    yield closing(boundary)


def _head(boundary: str, content_type: str, location: str) -> bytes:
    if location:
        return part_head(boundary, content_type, content_location=location)
    return part_head(boundary, content_type)


async def _nothing() -> AsyncIterator[bytes]:
    for piece in _NONE:
        yield piece
