"""Instances that come in pieces: metadata as JSON or XML, and the bulk data that it names (PS3.18 10.5.2, 8.7.3).

Bulk data goes to a spool as it comes, one part behind another; when all has come, each instance is put together from
its metadata and the places in the spool. So memory stays flat, and the parts may come in any order.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urljoin

from services.chassis.faults import PassingFault
from services.dicom import native_xml, uids, writing
from services.dicom.dicom_json import DicomJson, loads, text
from services.dicom.multipart import ContentType, MultipartError, parse_content_type
from services.dicom.part10 import file_header
from services.dicom.reasons import InstanceError, Reason
from services.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN, TransferSyntax, lookup
from services.ingest import media
from services.ingest.intake import Intake
from services.ingest.model import Announced, Verdict
from services.store.drafts import Draft

JSON: Final = "application/dicom+json"
XML: Final = "application/dicom+xml"
_COPY_BYTES: Final = 1024 * 1024
_FRAME: Final = re.compile(r"(.+)/frames/([1-9]\d{0,8})")
_ROWS: Final = "00280010"


@dataclass(frozen=True, slots=True)
class _Part:
    """One part of bulk data in the spool."""

    offset: int
    length: int
    media: ContentType


class Composer:
    """Takes the parts of one request, and offers the instances that they make.

    Args:
        intake: where the instances go.
        announced: what the request says of each of them.
        base: address of the request, against which locations are read.
        max_bytes: of metadata, altogether.
    """

    def __init__(self, intake: Intake, announced: Announced, *, base: str, max_bytes: int) -> None:
        self._intake = intake
        self._announced = announced
        self._base = base
        self._left = max_bytes
        self._spool: Draft | None = None
        self._fault: PassingFault | None = None
        self._data_sets: list[DicomJson] = []
        self._parts: dict[str, list[_Part]] = {}
        self._media = ContentType("", {})
        self._location = ""
        self._metadata: bytearray | None = None
        self._began = 0

    async def begin(self, headers: Mapping[str, str]) -> None:
        """A part begins."""
        try:
            self._media = parse_content_type(headers.get("content-type", "application/octet-stream"))
        except MultipartError:
            self._media = ContentType("", {})
        self._location = headers.get("content-location", "")
        self._metadata = bytearray() if self._media.media_type in (JSON, XML) else None
        self._began = self._spool.size if self._spool else 0

    async def write(self, data: bytes) -> None:
        """Some of its bytes."""
        if self._metadata is not None:
            if len(self._metadata) + len(data) <= self._left:
                self._metadata += data
            else:
                self._left = -1
        elif self._fault is None:
            if self._spool is None:
                self._spool = self._intake.spool()
            try:
                await self._spool.write(data)
            except PassingFault as fault:
                self._fault = fault

    async def end(self) -> None:
        """The part is whole."""
        if self._metadata is not None:
            metadata, self._metadata = bytes(self._metadata), None
            if self._left < 0:
                self._left = 0
                await self._refuse(Reason.TOO_LARGE, self._announced)
                return
            self._left -= len(metadata)
            try:
                self._data_sets += await asyncio.to_thread(_data_sets, metadata, self._media.media_type)
            except (ValueError, RecursionError):
                await self._refuse(Reason.METADATA_UNREADABLE, self._announced)
        elif self._location:
            part = _Part(self._began, (self._spool.size if self._spool else 0) - self._began, self._media)
            self._parts.setdefault(self._resolved(self._location), []).append(part)
        else:
            await self._refuse(Reason.BULK_DATA_UNNAMED, self._announced)

    async def close(self) -> None:
        """Nothing more will come: put together what has come whole."""
        named = {self._resolved(uri) for data_set in self._data_sets for uri in writing.bulk_uris(data_set)}
        self._gather_frames(named)
        try:
            if self._spool is not None and self._fault is None:
                try:
                    self._spool.seal()
                except PassingFault as fault:
                    self._fault = fault
            for data_set in self._data_sets:
                await self._compose(data_set)
        finally:
            await self.abandon()
        for _ in self._parts.keys() - named:
            await self._refuse(Reason.BULK_DATA_UNNAMED, self._announced)

    async def abandon(self) -> None:
        """Let go of what has come."""
        if self._spool is not None:
            await self._spool.discard()
            self._spool = None

    def _resolved(self, location: str) -> str:
        return urljoin(self._base, location.strip())

    def _gather_frames(self, named: set[str]) -> None:
        """Frames may also come each with an address of its own, as they go out (PS3.18 10.4.1.1.6)."""
        frames: dict[str, list[tuple[int, list[_Part]]]] = {}
        for location in [*self._parts]:
            found = _FRAME.fullmatch(location)
            if found and location not in named and found[1] in named and found[1] not in self._parts:
                frames.setdefault(found[1], []).append((int(found[2]), self._parts.pop(location)))
        for uri, numbered in frames.items():
            numbered.sort(key=lambda each: each[0])
            self._parts[uri] = [part for _, parts in numbered for part in parts]

    async def _refuse(self, reason: Reason, announced: Announced) -> None:
        arrival = self._intake.begin(announced)
        arrival.verdict = Verdict.refused(reason, announced)
        await self._intake.offer(arrival, more=True)

    async def _compose(self, data_set: DicomJson) -> None:
        """Put one instance together, and offer it."""
        announced = Announced(
            sop_class_uid=_uid(data_set, "SOPClassUID"),
            sop_instance_uid=_uid(data_set, "SOPInstanceUID"),
            study_instance_uid=self._announced.study_instance_uid,
        )
        arrival = self._intake.begin(announced)
        try:
            if self._fault is not None:
                raise self._fault
            syntax, data_set = await self._settled(data_set)
            await arrival.write(
                file_header(
                    transfer_syntax_uid=syntax.uid,
                    sop_class_uid=announced.sop_class_uid,
                    sop_instance_uid=announced.sop_instance_uid,
                )
            )
            gathered = bytearray()
            for piece in writing.encode(data_set, self._lengths, encapsulated=syntax.encapsulated):
                if isinstance(piece, bytes):
                    gathered += piece
                    continue
                await arrival.write(bytes(gathered))
                gathered.clear()
                part = self._parts[self._resolved(piece.uri)][piece.part]
                for at in range(0, part.length, _COPY_BYTES):
                    await arrival.write(await self._read(part, at, _COPY_BYTES))
            await arrival.write(bytes(gathered))
        except InstanceError as error:
            arrival.verdict = Verdict.refused(error.reason, announced)
        except PassingFault as fault:
            arrival.verdict = Verdict.unavailable(fault.code, fault.reason, announced)
        await self._intake.offer(arrival, more=True)

    async def _settled(self, data_set: DicomJson) -> tuple[TransferSyntax, DicomJson]:
        """Choose the transfer syntax, and describe the pixels where the metadata leaves it to them."""
        native = lookup(EXPLICIT_LITTLE_ENDIAN)
        assert native is not None  # noqa: S101  # the first of the table
        uri = data_set.get(writing.PIXEL_DATA, {}).get("BulkDataURI")
        parts = self._parts.get(self._resolved(uri), ()) if isinstance(uri, str) else ()
        if not parts:
            return native, data_set
        head = await self._read(parts[0], 0, media.HEAD_BYTES)
        syntax = media.transfer_syntax(parts[0].media, head)
        if syntax is None:
            raise InstanceError(Reason.TRANSFER_SYNTAX_UNSUPPORTED)
        if not syntax.encapsulated:
            return syntax, data_set
        if not syntax.video and len(parts) != _frames(data_set):
            raise InstanceError(Reason.BULK_DATA_MISSING)
        return syntax, data_set if _ROWS in data_set else media.described(head) | data_set

    async def _read(self, part: _Part, at: int, length: int) -> bytes:
        length = min(length, part.length - at)
        return await self._spool.read(part.offset + at, length) if self._spool and length else b""

    def _lengths(self, uri: str) -> Sequence[int]:
        return [part.length for part in self._parts.get(self._resolved(uri), ())]


def _data_sets(metadata: bytes, media_type: str) -> list[DicomJson]:
    """Read a part of metadata.

    Raises:
        ValueError: it cannot be read.
    """
    if media_type == XML:
        return [native_xml.parse_native(metadata)]
    found = loads(metadata)
    data_sets = found if isinstance(found, list) else [found]
    if not all(
        isinstance(each, dict) and all(isinstance(element, dict) for element in each.values()) for each in data_sets
    ):
        raise ValueError("no data sets")
    return data_sets


def _uid(data_set: Mapping[str, Any], keyword: str) -> str:
    try:
        uid = text(data_set, keyword)
    except (AttributeError, TypeError):
        return ""
    return uid if uids.is_legal(uid) else ""


def _frames(data_set: Mapping[str, Any]) -> int:
    try:
        return int(text(data_set, "NumberOfFrames") or 1)
    except (AttributeError, TypeError, ValueError):
        return 1
