"""Answers with images in them: which media type, and how images follow one another (PS3.18 8.7.4, 10.4.3.3)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from services.archive.errors import NotAcceptable, NotDecodable, NotRenderable
from services.archive.images import Images
from services.archive.model import Resource
from services.dicom.accept import MULTIPART, MediaRange, Offer, accepts
from services.dicom.multipart import PART_TAIL, closing, part_head
from services.pixels.rendering import gif
from services.pixels.rendering.view import MediaType, View

Shot = tuple[Resource, str, Callable[[], Awaitable[bytes]]]
"""An image to come: of which instance, at which address, and how it is made."""

Note = Callable[[Resource, int], Awaitable[None]]
"""Notes for the audit that an image of an instance goes out, of so many bytes."""

UNSHOWABLE: Final = (NotRenderable, NotDecodable)


@dataclass(frozen=True, slots=True)
class Form:
    """The form of an answer.

    Attributes:
        media_type: of each image.
        multipart: every image is a part of a multipart/related body.
        moving: the images are the frames of one moving GIF.
    """

    media_type: MediaType
    multipart: bool = False
    moving: bool = False


@lru_cache(maxsize=1024)
def form_of(ranges: tuple[MediaRange, ...], *, several: bool, still: bool, moving: bool) -> Form:
    """Choose the form that the client likes best, and of several such the first one of ours.

    Args:
        ranges: what the client accepts.
        several: there is more than one image.
        still: one of them can stand for all.
        moving: they follow one another, and may make a moving GIF.

    Raises:
        NotAcceptable: in none of the ways that the client accepts.
    """
    plain = [replace(each, transfer_syntax="") for each in ranges]
    offered: list[tuple[float, Form, Offer]] = []
    for media_type in MediaType:
        loop = several and moving and media_type is MediaType.GIF
        alone, part = Offer(media_type), Offer(MULTIPART, media_type)
        single = Form(media_type, multipart=several and not still and not loop, moving=loop)
        offered.append((_weight(plain, alone), single, alone))
        offered.append((_weight(plain, part), Form(media_type, multipart=True), part))
    best = max((weight for weight, _, _ in offered), default=0.0)
    if best == 0:
        raise NotAcceptable(
            offer.media_type if not offer.part_type else f'{MULTIPART}; type="{offer.part_type}"'
            for _, _, offer in offered
        )
    # What the client names comes before what only a wildcard lets through; one image comes alone where it may.
    return next(
        form for weight, form, offer in sorted(offered, key=lambda each: bool(each[2].part_type)) if weight == best
    )


def _weight(ranges: Sequence[MediaRange], offer: Offer) -> float:
    """The weight of the most specific range that takes the offer (RFC 9110 12.5.1); 0 when none does."""
    fitting = [each for each in ranges if accepts(each, offer)]
    if not fitting:
        return 0.0
    return max(fitting, key=lambda each: (each.media_type.count("*") == 0, each.media_type != "*/*", each.q)).q


async def parts(shots: AsyncIterator[Shot], form: Form, note: Note, boundary: str) -> AsyncIterator[bytes]:
    """Write a part an image, each made when its turn comes; one that cannot be shown is left out."""
    async for resource, address, make in shots:
        try:
            made = await make()
        except UNSHOWABLE:
            continue
        await note(resource, len(made))
        yield b"".join((part_head(boundary, form.media_type, content_location=address), made, PART_TAIL))
    yield closing(boundary)


async def loop(
    images: Images, numbers: Sequence[int], view: View, first: bytes, note: Callable[[int], Awaitable[None]]
) -> AsyncIterator[bytes]:
    """Write a moving GIF, each frame made when its turn comes; `first` is that of the first number, noted already."""
    yield gif.head(*gif.size(first))
    yield gif.frame(first, images.milliseconds)
    for number in numbers[1:]:
        try:
            still = await images.image(number, view)
        except UNSHOWABLE:
            continue
        await note(len(still))
        yield gif.frame(still, images.milliseconds)
    yield gif.END
