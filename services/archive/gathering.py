"""Bulk data and pixel data of many instances: one body, a part for each piece (PS3.18 10.4.1.1.4, 10.4.1.1.5)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from services.archive import content, possible
from services.archive.model import Located
from services.archive.negotiation import Form, bulk_form, frames_form
from services.archive.ports import Objects, PixelDecoder
from services.archive.sending import Part
from services.dicom.accept import MediaRange
from services.dicom.transfer_syntaxes import lookup


def frame_forms(kinds: Sequence[Located], ranges: tuple[MediaRange, ...]) -> dict[str, Form]:
    """The form of the frames of each transfer syntax.

    Args:
        kinds: one instance of each kind that there is.
        ranges: what the client accepts.

    Raises:
        NotAcceptable: those of one syntax in none of the ways that the client accepts.
    """
    return {
        each.transfer_syntax_uid: frames_form(
            ranges, each.transfer_syntax_uid, possible.frame_targets(each), single=False
        )
        for each in kinds
        if each.layout.frames is not None
    }


def video_form(located: Located, ranges: tuple[MediaRange, ...]) -> Form:
    """The form of pixels that have no frames of their own.

    Raises:
        NotAcceptable: in none of the ways that the client accepts.
    """
    syntax = lookup(located.transfer_syntax_uid)
    return bulk_form(ranges, syntax.media_type if syntax is not None else "", single=False)


async def pixel_parts(
    instances: AsyncIterator[Located],
    forms: Mapping[str, Form],
    ranges: tuple[MediaRange, ...],
    root: str,
    *,
    objects: Objects,
    pixels: PixelDecoder,
) -> AsyncIterator[Part]:
    """A part a frame; of a video, one for the whole of it."""
    async for located in instances:
        async for part in _pixels(located, forms, ranges, root, objects=objects, pixels=pixels):
            yield part


async def bulk_parts(
    instances: AsyncIterator[Located],
    forms: Mapping[str, Form],
    ranges: tuple[MediaRange, ...],
    root: str,
    *,
    objects: Objects,
    pixels: PixelDecoder,
) -> AsyncIterator[Part]:
    """A part a value; of encapsulated pixels, one a frame."""
    async for located in instances:
        base = f"{root}/{located.resource.path}"
        for path, place in located.layout.bulk.items():
            if path == content.PIXEL_DATA and place.encapsulated:
                async for part in _pixels(located, forms, ranges, root, objects=objects, pixels=pixels):
                    yield part
            else:
                chunks = content.bulk_stream(located, place, objects=objects)
                yield Part(bulk_form(ranges, single=False).content_type, f"{base}/bulkdata/{path}", chunks)


async def _pixels(
    located: Located,
    forms: Mapping[str, Form],
    ranges: tuple[MediaRange, ...],
    root: str,
    *,
    objects: Objects,
    pixels: PixelDecoder,
) -> AsyncIterator[Part]:
    base = f"{root}/{located.resource.path}"
    index = located.layout.frames
    if index is not None and (form := forms.get(located.transfer_syntax_uid)) is not None:
        for number in range(1, index.count + 1):
            chunks = content.frame_contents(located, [index.span(number)], form, objects=objects, pixels=pixels)
            yield Part(form.content_type, f"{base}/frames/{number}", chunks)
    elif (place := located.layout.bulk.get(content.PIXEL_DATA)) is not None:
        chunks = content.bulk_stream(located, place, objects=objects)
        yield Part(video_form(located, ranges).content_type, f"{base}/bulkdata/{content.PIXEL_DATA}", chunks)
