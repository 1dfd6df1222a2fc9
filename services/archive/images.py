"""The images of an instance, each for one range read and one job of a worker (PS3.18 10.4.1.1.3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from services.archive import content
from services.archive.errors import NotRenderable
from services.archive.model import Located
from services.archive.ports import Objects, Renderer
from services.archive.rendering_work import Stored
from services.dicom import dicom_json, part10
from services.dicom.transfer_syntaxes import lookup
from services.pixels.rendering import picture
from services.pixels.rendering.captions import captions
from services.pixels.rendering.job import Job
from services.pixels.rendering.view import Profile, View

Files = Callable[[str], Path | None]
"""Gives the local file of an object by its digest, where there is one."""

_MOST_TILES: Final = 64
_MOST_PIXELS: Final = 2**25
"""Of a slide's level that is shown as a whole: so many tiles, and so many pixels in them."""
_SLIDE: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
_FRAME_MILLISECONDS: Final = 100.0


class Images:
    """The images of one instance."""

    def __init__(
        self,
        located: Located,
        attributes: dict[str, Any],
        *,
        objects: Objects,
        renderer: Renderer,
        fonts: Sequence[str],
        files: Files,
    ) -> None:
        """Show `located`, whose data set has these attributes.

        Args:
            fonts: files to write annotations with, best first.
            files: says where an object is a local file.
        """
        self._files = files
        self._located = located
        self._attributes = attributes
        self._objects = objects
        self._renderer = renderer
        self._fonts = fonts
        self._bulk: dict[str, bytes] = {}
        self._inflated: bytes | None = None

    @property
    def count(self) -> int:
        """How many frames can be shown; none of a document or a video."""
        syntax = lookup(self._located.transfer_syntax_uid)
        frames = self._located.layout.frames
        return 0 if frames is None or syntax is None or syntax.video else frames.count

    @property
    def middle(self) -> int:
        """The frame that stands for all: the one that the data set names (PS3.3 C.7.6.6), or the middle one."""
        named = dicom_json.text(self._attributes, "RepresentativeFrameNumber")
        number = int(named) if named.isdecimal() else 0
        return number if 1 <= number <= self.count else self.count // 2 + 1

    @property
    def modality(self) -> str:
        """What kind of object this is, in a word."""
        return dicom_json.text(self._attributes, "Modality")

    @property
    def telling(self) -> bool:
        """A thumbnail of it says what it is, and not who the patient is (PS3.18 10.4.1.1.4, PS3.3 C.7.6.1)."""
        named = dicom_json.text(self._attributes, "BurnedInAnnotation") == "YES"
        return self.count > 0 and not named and self.modality != "SEG"

    @property
    def milliseconds(self) -> float:
        """How long a frame is shown."""
        for keyword, per_second in (("FrameTime", False), ("RecommendedDisplayFrameRate", True), ("CineRate", True)):
            try:
                value = float(dicom_json.text(self._attributes, keyword))
            except ValueError:
                continue
            if value > 0:
                return 1000 / value if per_second else value
        return _FRAME_MILLISECONDS

    async def image(self, number: int, view: View) -> bytes:
        """One frame.

        Raises:
            NoSuchFrame: it is not there.
            NotRenderable: it cannot be shown.
        """
        if self.count == 0:
            raise NotRenderable
        described = await self._picture(number, view)
        text = captions(self._attributes, view.annotations, number, self._fonts) if view.annotations else None
        job = Job(view, ((0, 0),), (described.rows, described.columns), described, text)
        return await self._renderer.image(
            job, [await self._frame(number)], self._located.transfer_syntax_uid, self._attributes
        )

    async def overview(self, view: View) -> bytes:
        """The whole of a slide's level where it has few tiles, otherwise the frame that stands for all.

        Raises:
            NotRenderable: it cannot be shown.
        """
        places = self._tiles()
        if not places:
            return await self.image(self.middle, view)
        size = self._integer("TotalPixelMatrixRows"), self._integer("TotalPixelMatrixColumns")
        job = Job(view, tuple(places), size, await self._picture(1, view))
        frames = [await self._frame(number) for number in range(1, self.count + 1)]
        return await self._renderer.image(job, frames, self._located.transfer_syntax_uid, self._attributes)

    def _tiles(self) -> list[tuple[int, int]]:
        """Row and column, from 0, of each tile of a small full level; nothing where it is none (PS3.3 C.7.6.17.3)."""
        rows, columns = self._integer("Rows"), self._integer("Columns")
        height, width = self._integer("TotalPixelMatrixRows"), self._integer("TotalPixelMatrixColumns")
        if self._located.sop_class_uid != _SLIDE or not 1 < self.count <= _MOST_TILES or not (rows and columns):
            return []
        if height * width > _MOST_PIXELS or rows * columns * self.count > _MOST_PIXELS:
            return []
        if dicom_json.text(self._attributes, "DimensionOrganizationType") not in ("TILED_FULL", ""):
            return []
        places = [(top, left) for top in range(0, height, rows) for left in range(0, width, columns)]
        return places if len(places) == self.count else []

    def _integer(self, keyword: str) -> int:
        text = dicom_json.text(self._attributes, keyword)
        return int(text) if text.isdecimal() else 0

    async def _picture(self, number: int, view: View) -> picture.Picture:
        """Describe the frame, with the tables and overlays that turn out to be needed."""
        missing: list[str] = []

        def fetch(path: str) -> bytes:
            if path not in self._bulk:
                missing.append(path)
            return self._bulk.get(path, b"")

        wants_profile = view.profile is not Profile.NO
        described = picture.describe(self._attributes, number, fetch, icc=wants_profile)
        if not missing:
            return described
        for path in missing:
            place = content.bulk(self._located, path)
            self._bulk[path] = await content.bulk_content(self._located, place, objects=self._objects)
        return picture.describe(self._attributes, number, fetch, icc=wants_profile)

    async def _frame(self, number: int) -> bytes | Stored:
        (span,) = content.spans(self._located, [number])
        digest, layout = self._located.digest, self._located.layout
        if layout.deflated:
            if self._inflated is None:
                self._inflated = await asyncio.to_thread(part10.inflated, await self._objects.read(digest))
            data = self._inflated[span.offset : span.offset + span.length]
            return span.take(data, big_endian=layout.big_endian)
        if path := self._files(digest):
            return Stored(str(path), span, layout.big_endian)
        data = await self._objects.read(digest, span.offset, span.length)
        return span.take(data, big_endian=layout.big_endian)
