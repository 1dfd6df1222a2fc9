"""Transcoding without worker processes: the functions that run in them, called here."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import astuple

from services.archive import pixel_work
from services.archive.errors import NotDecodable
from services.archive.model import Located, Resource
from services.archive.sources import AtHand, Inflating, Source
from services.archive.transcoding import transcoded
from services.pixels.description import Description
from services.pixels.errors import PixelError
from services.pixels.headers import Change
from tests.unit.pixels.images import Image


class InPlace:
    """`Makers` in this process."""

    count = 2

    async def made(self, encoded: bytes, stored: str, target: str, description: Description) -> bytes:
        """See `Makers.made`."""
        try:
            return pixel_work.frame(json.dumps((stored, target, astuple(description), 2**30)).encode(), [encoded])
        except PixelError:
            raise NotDecodable from None

    async def rewritten(self, before: bytes, behind: bytes, change: Change) -> tuple[bytes, bytes]:
        """See `Makers.rewritten`."""
        made = pixel_work.header(json.dumps(astuple(change)).encode(), [before, behind])
        split = 8 + int.from_bytes(made[:8], "little")
        return made[8:split], made[split:]


class OneObject:
    """`Objects` that holds one, and knows how much of it was read at once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.longest = 0

    async def read(self, digest: str, offset: int = 0, length: int | None = None) -> bytes:
        """See `Objects.read`."""
        found = self._data[offset : None if length is None else offset + length]
        self.longest = max(self.longest, len(found))
        return found

    async def stream(
        self, digest: str, offset: int = 0, length: int | None = None, chunk: int = 2**19
    ) -> AsyncIterator[bytes]:
        """See `Objects.stream`."""
        for at in range(offset, len(self._data), chunk):
            yield self._data[at : at + chunk]


def located(image: Image) -> Located:
    """What the index would say of it."""
    parsed = image.parsed
    return Located(
        resource=Resource(parsed.study_instance_uid, parsed.series_instance_uid, parsed.sop_instance_uid),
        sop_class_uid=parsed.sop_class_uid,
        transfer_syntax_uid=parsed.transfer_syntax_uid,
        digest="0" * 64,
        size=len(image.data),
        layout=parsed.layout,
        metadata=parsed.metadata,
    )


async def whole(image: Image, target: str) -> bytes:
    """The instance in another transfer syntax."""
    source: Source = AtHand(image.data)
    if image.parsed.layout.deflated:
        source = Inflating(OneObject(image.data), "")
    return b"".join([piece async for piece in transcoded(located(image), source, target, InPlace())])
