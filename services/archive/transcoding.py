"""A PS3.10 file in another transfer syntax, frame by frame: the memory that it takes is that of a few frames."""

from __future__ import annotations

import asyncio
import tempfile
import zlib
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Protocol

from services.archive.errors import NotDecodable
from services.archive.model import Located
from services.archive.sources import Source
from services.dicom import dicom_json, encapsulation, part10, uids
from services.dicom.frames import FrameIndex, swapped
from services.dicom.layout import BulkRange
from services.dicom.reasons import InstanceError
from services.dicom.transfer_syntaxes import TransferSyntax, lookup
from services.pixels import syntaxes
from services.pixels.description import Description, describe
from services.pixels.errors import NotDescribed
from services.pixels.headers import Change

_BEGINNING: Final = 64 * 1024
_MOST_BEHIND: Final = 64 * 1024**2
_HELD: Final = 8 * 1024**2
_CHUNK: Final = 512 * 1024
_LONGEST: Final = 2**32 - 2
_HEAD: Final = 12
_PIXELS: Final = ("7FE00010", "7FE00008", "7FE00009")


class Makers(Protocol):
    """What is done under limits."""

    @property
    def count(self) -> int:
        """How many frames are made at a time."""

    async def made(self, encoded: bytes, stored: str, target: str, description: Description) -> bytes:
        """A frame in the target. Raises NotDecodable, TooMuch."""

    async def rewritten(self, before: bytes, behind: bytes, change: Change) -> tuple[bytes, bytes]:
        """The elements before and behind the pixels. Raises NotDecodable, TooMuch."""


@dataclass(frozen=True, slots=True)
class _Pixels:
    """The pixels of an instance, and where they lie."""

    tag: int
    place: BulkRange
    frames: FrameIndex
    description: Description


async def transcoded(located: Located, source: Source, target: str, makers: Makers) -> AsyncGenerator[bytes, None]:
    """Write an instance in another transfer syntax.

    Nothing is given before the first frame is made; of an encapsulated target, before all of them are, because their
    offset table stands before them. They wait on the disk.

    Raises:
        NotDecodable: it cannot be brought into the target.
        TooMuch: that takes more memory than there is for it.
    """
    syntax, pixels = lookup(target), _pixels(located)
    description = pixels.description if pixels else None
    if syntax is None or target not in syntaxes.targets(located.transfer_syntax_uid, description):
        raise NotDecodable
    pieces = _Writer(located, source, syntax, makers).data_set(pixels)
    meta = part10.file_header(
        transfer_syntax_uid=target,
        sop_class_uid=located.sop_class_uid,
        sop_instance_uid=_derived_uid(located, target) or located.resource.sop_instance_uid,
    )
    async with aclosing(pieces):
        async for piece in _deflated(pieces) if syntax.deflated else pieces:
            yield meta + piece
            meta = b""


def _pixels(located: Located) -> _Pixels | None:
    """Find the pixels.

    Raises:
        NotDecodable: there are some, of which nobody knows where the frames are or what is in them.
    """
    bulk = located.layout.bulk
    path = next((path for path in _PIXELS if path in bulk), None)
    if path is None:
        return None
    try:
        description = describe(dicom_json.loads(located.metadata))
    except NotDescribed:
        raise NotDecodable from None
    if located.layout.frames is None:
        raise NotDecodable
    return _Pixels(int(path, 16), bulk[path], located.layout.frames, description)


def _derived_uid(located: Located, target: str) -> str:
    """The UID of the image that a lossy target makes of this one, always the same; "" where nothing is lost."""
    if syntaxes.lossless(target):
        return ""
    return uids.derived_uid("transcoded", located.resource.sop_instance_uid, located.digest, target)


class _Writer:
    """Writes the data set of one instance in a target."""

    def __init__(self, located: Located, source: Source, target: TransferSyntax, makers: Makers) -> None:
        self._located = located
        self._source = source
        self._target = target
        self._makers = makers

    async def data_set(self, pixels: _Pixels | None) -> AsyncGenerator[bytes, None]:
        before, behind = await self._around(pixels)
        stored, target = self._located.transfer_syntax_uid, self._target
        if pixels is None:
            yield b"".join(await self._makers.rewritten(before, behind, Change(stored, target.uid)))
        elif target.encapsulated:
            async for piece in self._encapsulated(pixels, before, behind):
                yield piece
        elif syntaxes.native(stored):
            before, behind = await self._makers.rewritten(before, behind, Change(stored, target.uid))
            yield before + self._native_head(pixels, pixels.place.length)
            async for piece in self._as_they_are(pixels):
                yield piece
            yield behind
        else:
            async for piece in self._native(pixels, before, behind):
                yield piece

    async def _around(self, pixels: _Pixels | None) -> tuple[bytes, bytes]:
        """Read what is before and behind the pixels, without file meta information."""
        layout = self._located.layout
        try:
            start = part10.data_set_start(await self._source.read(0, _BEGINNING))
        except InstanceError:
            raise NotDecodable from None
        if pixels is None:
            # The header of a deflated file is counted before it is inflated: all of it is read as what is behind.
            stop = end = start if layout.deflated else layout.header_bytes
        else:
            stop = pixels.place.offset - _HEAD if layout.deflated else layout.header_bytes
            end = pixels.place.offset + pixels.place.length + len(encapsulation.END) * pixels.place.encapsulated
        before = await self._source.read(start, stop - start)
        behind = await self._source.read(end, _MOST_BEHIND + 1)
        if len(behind) > _MOST_BEHIND:
            raise NotDecodable
        return before, behind

    async def _as_they_are(self, pixels: _Pixels) -> AsyncGenerator[bytes, None]:
        """Native pixels in chunks, as little endian."""
        word, place = pixels.frames.span(1).word, pixels.place
        for at in range(0, place.length, _CHUNK):
            piece = await self._source.read(place.offset + at, min(_CHUNK, place.length - at))
            yield swapped(piece, word) if self._located.layout.big_endian and word > 1 else piece

    async def _made(self, pixels: _Pixels) -> AsyncGenerator[bytes, None]:
        """Make the frames, in order and as many at a time as there are workers."""
        located, coming = self._located, deque[asyncio.Task[bytes]]()
        try:
            for number in range(1, pixels.frames.count + 1):
                span = pixels.frames.span(number)
                data = await self._source.read(span.offset, span.length)
                encoded = span.take(data, big_endian=located.layout.big_endian)
                making = self._makers.made(encoded, located.transfer_syntax_uid, self._target.uid, pixels.description)
                coming.append(asyncio.ensure_future(making))
                if len(coming) > self._makers.count:
                    yield await coming.popleft()
            while coming:
                yield await coming.popleft()
        finally:
            for task in coming:
                task.cancel()
            await asyncio.gather(*coming, return_exceptions=True)

    async def _native(self, pixels: _Pixels, before: bytes, behind: bytes) -> AsyncGenerator[bytes, None]:
        bits = pixels.description.decoded.frame_bits
        size = (bits * pixels.frames.count + 7) // 8
        padding = size % 2
        if size + padding > _LONGEST:
            raise NotDecodable
        async with aclosing(self._made(pixels)) as made:
            joined = _joined(made, bits)
            first = await anext(joined)
            before, behind = await self._makers.rewritten(before, behind, self._change(pixels))
            yield before + self._native_head(pixels, size + padding) + first
            async for piece in joined:
                yield piece
        yield b"\0" * padding + behind

    async def _encapsulated(self, pixels: _Pixels, before: bytes, behind: bytes) -> AsyncGenerator[bytes, None]:
        lengths = []
        with tempfile.SpooledTemporaryFile(_HELD) as held:
            async with aclosing(self._made(pixels)) as made:
                async for frame in made:
                    padded = frame + b"\0" * (len(frame) % 2)
                    lengths.append(len(padded))
                    await asyncio.to_thread(held.write, padded)
            change = self._change(pixels, pixels.description.decoded_bytes * len(lengths) / sum(lengths))
            before, behind = await self._makers.rewritten(before, behind, change)
            yield before + encapsulation.encapsulated_head(lengths)
            held.seek(0)
            for length in lengths:
                yield encapsulation.item_head(length) + await asyncio.to_thread(held.read, length)
        yield encapsulation.END + behind

    def _change(self, pixels: _Pixels, ratio: float = 1.0) -> Change:
        description, stored = pixels.description, self._located.transfer_syntax_uid
        return Change(
            stored=stored,
            target=self._target.uid,
            photometric=syntaxes.photometric_in(self._target.uid, description.decoded.photometric),
            by_pixel=description.samples > 1 and syntaxes.by_pixel(self._target.uid),
            was_lossy=syntaxes.always_lossy(stored),
            instance=_derived_uid(self._located, self._target.uid),
            ratio=ratio,
        )

    def _native_head(self, pixels: _Pixels, length: int) -> bytes:
        description = pixels.description
        if description.floating:
            vr = "OF" if description.allocated == 32 else "OD"
        else:
            vr = "OW" if description.allocated > 8 else "OB"
        return encapsulation.element_head(pixels.tag, vr, length, explicit=self._target.explicit)


async def _joined(made: AsyncIterator[bytes], bits: int) -> AsyncGenerator[bytes, None]:
    """Pack frames of single bits without gaps (PS3.5 8.1.1); of whole bytes, they are as they are."""
    if bits % 8 == 0:
        async for frame in made:
            yield frame
        return
    rest, held = 0, 0
    async for frame in made:
        rest |= int.from_bytes(frame, "little") << held
        held += bits
        whole = held // 8
        yield (rest & (1 << 8 * whole) - 1).to_bytes(whole, "little")
        rest >>= 8 * whole
        held -= 8 * whole
    yield rest.to_bytes((held + 7) // 8, "little")


async def _deflated(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Deflate a data set, and pad it to an even length (PS3.5 A.5)."""
    squeeze = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
    size = 0
    async for piece in pieces:
        made = await asyncio.to_thread(squeeze.compress, piece)
        size += len(made)
        yield made
    rest = squeeze.flush()
    yield rest + b"\0" * ((size + len(rest)) % 2)
