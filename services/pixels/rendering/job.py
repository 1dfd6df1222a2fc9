"""One image to be made, with all that it takes beside the frames: what a worker process is given."""

from __future__ import annotations

from dataclasses import dataclass

from services.pixels.rendering.captions import Captions
from services.pixels.rendering.picture import Picture
from services.pixels.rendering.view import View


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be drawn of frames; without a place, what stands for an object that has none.

    Attributes:
        view: how the client wants to see it.
        places: row and column, from 0, of each frame in the whole: one, or the several tiles of a slide.
        size: rows and columns of the whole.
        picture: how it is to be shown by the data set.
        text: to be burned in.
        label: of what stands for an object, in a word.
    """

    view: View
    places: tuple[tuple[int, int], ...] = ()
    size: tuple[int, int] = (0, 0)
    picture: Picture | None = None
    text: Captions | None = None
    label: str = ""
