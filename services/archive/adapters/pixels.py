"""`PixelDecoder` by worker processes. Nothing here imports a codec."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import astuple
from functools import lru_cache
from typing import Final

from services.archive.adapters.workers import Workers
from services.archive.errors import NotDecodable
from services.archive.model import Located, Resource
from services.archive.ports import Objects
from services.archive.sources import AtHand, Inflating, Stored
from services.archive.transcoding import transcoded
from services.archive.work import Work
from services.dicom import dicom_json
from services.dicom.part10 import parse_instance
from services.dicom.reasons import InstanceError
from services.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN
from services.pixels import syntaxes
from services.pixels.description import Description, describe
from services.pixels.errors import NotDescribed
from services.pixels.headers import Change

_LENGTH: Final = 8
_SECONDS: Final = 2
_BYTES_A_SECOND: Final = 4 * 1024**2
"""A codec that works takes a quarter of that time at most: one that takes longer is caught in what it reads."""


class WorkerDecoder:
    """`PixelDecoder`: decoding and encoding run in worker processes, under limits."""

    def __init__(self, workers: Workers, *, most_bytes: int) -> None:
        """Use `workers`; a decoded frame may have `most_bytes`."""
        self._workers = workers
        self._most_bytes = most_bytes

    @property
    def count(self) -> int:
        """How many frames are made at a time."""
        return self._workers.count

    async def frame(
        self, encoded: bytes, transfer_syntax_uid: str, metadata: bytes, *, target: str = EXPLICIT_LITTLE_ENDIAN
    ) -> bytes:
        """See `PixelDecoder.frame`."""
        if syntaxes.native(transfer_syntax_uid) and syntaxes.native(target):
            return encoded
        return await self.made(encoded, transfer_syntax_uid, target, _described(metadata))

    async def instance(self, data: bytes) -> bytes:
        """See `PixelDecoder.instance`."""
        try:
            parsed = parse_instance(data)
        except InstanceError:
            raise NotDecodable from None
        resource = Resource(parsed.study_instance_uid, parsed.series_instance_uid, parsed.sop_instance_uid)
        located = Located(
            resource, parsed.sop_class_uid, parsed.transfer_syntax_uid, "", len(data), parsed.layout, parsed.metadata
        )
        pieces = transcoded(located, AtHand(data), EXPLICIT_LITTLE_ENDIAN, self)
        return b"".join([piece async for piece in pieces])

    def transcode(self, located: Located, objects: Objects, target: str) -> AsyncIterator[bytes]:
        """See `PixelDecoder.transcode`."""
        source = Inflating if located.layout.deflated else Stored
        return transcoded(located, source(objects, located.digest), target, self)

    async def made(self, encoded: bytes, stored: str, target: str, description: Description) -> bytes:
        """See `transcoding.Makers`."""
        parameters = json.dumps((stored, target, astuple(description), self._most_bytes)).encode()
        seconds = _SECONDS + description.decoded_bytes // _BYTES_A_SECOND
        return await self._workers.call(Work.FRAME, parameters, (encoded,), seconds=seconds)

    async def rewritten(self, before: bytes, behind: bytes, change: Change) -> tuple[bytes, bytes]:
        """See `transcoding.Makers`."""
        parameters = json.dumps(astuple(change)).encode()
        made = await self._workers.call(Work.HEADER, parameters, (before, behind))
        split = _LENGTH + int.from_bytes(made[:_LENGTH], "little")
        return made[_LENGTH:split], made[split:]


@lru_cache(maxsize=16)
def _described(metadata: bytes) -> Description:
    """The same instance is asked for one frame after another: its metadata may be long."""
    try:
        return describe(dicom_json.loads(metadata))
    except NotDescribed:
        raise NotDecodable from None
