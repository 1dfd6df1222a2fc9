"""The body of a store request, part by part, whichever way its instances are in it (PS3.18 10.5.2)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

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
from services.ingest.codings import BrokenCoding
from services.ingest.composing import JSON, XML, Composer
from services.ingest.errors import EmptyRequest, NotMultipart, UnsupportedMedia
from services.ingest.intake import Arrival, Intake
from services.ingest.model import Announced, Verdict

DICOM: Final = "application/dicom"


@dataclass(frozen=True, slots=True)
class Payload:
    """What a body is.

    Attributes:
        media_type: of its parts, or of itself.
        boundary: between the parts; "" when there is one thing only.
    """

    media_type: str
    boundary: str = ""


def payload_of(content_type: str) -> Payload:
    """Reads the Content-Type of a store request.

    Raises:
        UnsupportedMedia: nothing of this type can be stored.
        NotMultipart: it has no boundary.
    """
    try:
        parsed = parse_content_type(content_type)
        if parsed.media_type in (DICOM, JSON, XML):
            return Payload(parsed.media_type)
        part_type = parsed.parameters.get("type", DICOM).lower()
        if part_type not in (DICOM, JSON, XML):
            raise UnsupportedMedia
        return Payload(part_type, multipart_boundary(content_type, part_type))
    except MultipartError as error:
        raise NotMultipart if error.reason is MultipartReason.NO_BOUNDARY else UnsupportedMedia from None


class Taker(Protocol):
    """Who takes the parts."""

    async def begin(self, headers: Mapping[str, str]) -> None:
        """A part begins."""

    async def write(self, data: bytes) -> None:
        """Some of its bytes."""

    async def end(self) -> None:
        """The part is whole."""

    async def close(self) -> None:
        """Nothing more will come."""

    async def abandon(self) -> None:
        """Let go of what is not whole. The last call in any case."""


class Files:
    """Takes parts that are PS3.10 files."""

    def __init__(self, intake: Intake, announced: Announced) -> None:
        self._intake = intake
        self._announced = announced
        self._arrival: Arrival | None = None

    async def begin(self, headers: Mapping[str, str]) -> None:
        """See `Taker.begin`."""
        self._arrival = self._intake.begin(self._announced)
        if not _is_dicom(headers.get("content-type", DICOM)):
            self._arrival.verdict = Verdict.refused(Reason.NOT_DICOM, self._announced)

    async def write(self, data: bytes) -> None:
        """See `Taker.write`."""
        assert self._arrival is not None  # noqa: S101  # `begin` came first
        await self._arrival.write(data)

    async def end(self) -> None:
        """See `Taker.end`."""
        assert self._arrival is not None  # noqa: S101  # `begin` came first
        whole, self._arrival = self._arrival, None
        await self._intake.offer(whole, more=True)

    async def close(self) -> None:
        """See `Taker.close`."""

    async def abandon(self) -> None:
        """See `Taker.abandon`."""
        if self._arrival is not None:
            await self._arrival.draft.discard()
            self._arrival = None


def _is_dicom(content_type: str) -> bool:
    """Some senders label a part as plain bytes; its content is checked in any case."""
    try:
        return parse_content_type(content_type).media_type in (DICOM, "application/octet-stream")
    except MultipartError:
        return False


async def receive(
    body: AsyncIterator[bytes],
    payload: Payload,
    intake: Intake,
    announced: Announced,
    *,
    base: str,
    max_metadata_bytes: int,
) -> None:
    """Reads a body to its end and offers its instances. When it breaks off, those that came whole are offered.

    Args:
        body: in chunks, without its content coding.
        payload: what it is.
        intake: where the instances go.
        announced: what the request says of each of them.
        base: address of the request.
        max_metadata_bytes: of metadata that comes apart from its bulk data.

    Raises:
        EmptyRequest: there is nothing in it.
        MultipartError: it cannot be read to its end.
        BrokenCoding: likewise.
    """
    taker: Taker
    if payload.media_type == DICOM:
        taker = Files(intake, announced)
    else:
        taker = Composer(intake, announced, base=base, max_bytes=max_metadata_bytes)
    try:
        try:
            await (_parts(body, payload.boundary, taker) if payload.boundary else _whole(body, payload, taker))
        except (MultipartError, BrokenCoding) as error:
            if isinstance(error, MultipartError) and error.reason is MultipartReason.NO_PARTS:
                raise EmptyRequest from None
            await taker.close()
            raise
        await taker.close()
    finally:
        await taker.abandon()


async def _parts(body: AsyncIterator[bytes], boundary: str, taker: Taker) -> None:
    parser = MultipartParser(boundary)
    async for chunk in body:
        for event in parser.feed(chunk):
            match event:
                case PartData(data):
                    await taker.write(data)
                case PartBegin(headers):
                    await taker.begin(headers)
                case PartEnd():
                    await taker.end()
    parser.close()


async def _whole(body: AsyncIterator[bytes], payload: Payload, taker: Taker) -> None:
    began = False
    async for chunk in body:
        if not chunk:
            continue
        if not began:
            began = True
            await taker.begin({"content-type": payload.media_type})
        await taker.write(chunk)
    if not began:
        raise EmptyRequest
    await taker.end()
