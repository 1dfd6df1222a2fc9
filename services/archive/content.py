"""Frames and bulk data of a located instance: which ranges, and how content comes out of them (PS3.18 10.4.1.1)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from functools import lru_cache

from services.archive.errors import InvalidFrames, NoSuchBulkData, NoSuchFrame
from services.archive.model import Located
from services.archive.negotiation import Form
from services.archive.ports import Objects, PixelDecoder
from services.dicom import frames, part10
from services.dicom.frames import FrameSpan, NativeFrames
from services.dicom.layout import BulkRange
from services.dicom.values import WORD_BYTES

PIXEL_DATA = "7FE00010"
_MAX_FRAMES = 10_000
_CHUNK_BYTES = 512 * 1024


@lru_cache(maxsize=4096)
def frame_numbers(text: str) -> tuple[int, ...]:
    """Read the frame list of a path, such as `1` or `1,2,5`.

    Raises:
        InvalidFrames: it is none.
    """
    parts = text.split(",")
    if len(parts) > _MAX_FRAMES or not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        raise InvalidFrames
    numbers = tuple(int(part) for part in parts)
    if min(numbers) < 1:
        raise InvalidFrames
    return numbers


def spans(located: Located, numbers: Sequence[int]) -> list[FrameSpan]:
    """Find the range of each frame.

    Raises:
        NoSuchFrame: one of them is not there.
    """
    index = located.layout.frames
    if index is None:
        raise NoSuchFrame
    try:
        return [index.span(number) for number in numbers]
    except frames.NoSuchFrame:
        raise NoSuchFrame from None


def frame_length(span: FrameSpan) -> int:
    """How many bytes the frame has, as stored."""
    return (span.bits + 7) // 8 if span.bits else sum(length for _, length in span.pieces)


async def frame_contents(
    located: Located, wanted: Sequence[FrameSpan], form: Form, *, objects: Objects, pixels: PixelDecoder
) -> AsyncIterator[bytes]:
    """Give each frame: one range read, and at most one frame's decoding.

    Raises:
        NotDecodable: a frame cannot be brought into the form.
    """
    layout = located.layout
    whole = await _inflated(located, objects) if layout.deflated else None
    for span in wanted:
        if whole is not None:
            data = whole[span.offset : span.offset + span.length]
        else:
            data = await objects.read(located.digest, span.offset, span.length)
        frame = span.take(data, big_endian=layout.big_endian)
        if form.made:
            frame = await pixels.frame(
                frame, located.transfer_syntax_uid, located.metadata, target=form.transfer_syntax
            )
        yield frame


def bulk(located: Located, path: str) -> BulkRange:
    """Find a piece of bulk data by the path in its BulkDataURI.

    Raises:
        NoSuchBulkData: there is none at this path.
    """
    try:
        return located.layout.bulk[path]
    except KeyError:
        raise NoSuchBulkData from None


def has_frames(located: Located, path: str) -> bool:
    """Says whether the bulk data at a path is encapsulated pixels, which are given frame by frame."""
    place = located.layout.bulk[path]
    return place.encapsulated and path == PIXEL_DATA and located.layout.frames is not None


async def bulk_content(located: Located, place: BulkRange, *, objects: Objects) -> bytes:
    """Give a piece of bulk data as little endian; of encapsulated data, its fragments joined."""
    if located.layout.deflated:
        data = (await _inflated(located, objects))[place.offset : place.offset + place.length]
    else:
        data = await objects.read(located.digest, place.offset, place.length)
    if place.encapsulated:
        return frames.unwrapped(data)
    if not located.layout.big_endian or place.vr not in WORD_BYTES:
        return data
    native = located.layout.frames
    if isinstance(native, NativeFrames) and native.offset == place.offset:
        return frames.swapped(data, native.word)
    return frames.swapped(data, WORD_BYTES[place.vr])


async def bulk_stream(
    located: Located, place: BulkRange, *, objects: Objects, first: int = 0, length: int | None = None
) -> AsyncIterator[bytes]:
    """Give a part of a piece of bulk data in chunks, from the byte `first` on; memory stays at a chunk where it can."""
    layout = located.layout
    if layout.deflated or layout.big_endian or place.encapsulated:
        whole = await bulk_content(located, place, objects=objects)
        yield whole[first : None if length is None else first + length]
        return
    length = place.length - first if length is None else length
    async for chunk in objects.stream(located.digest, place.offset + first, length, _CHUNK_BYTES):
        yield chunk


async def _inflated(located: Located, objects: Objects) -> bytes:
    return await asyncio.to_thread(part10.inflated, await objects.read(located.digest))
