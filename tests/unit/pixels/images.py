"""Files to take frames from, and frames taken from them the obvious way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import pydicom.data

from services.dicom.part10 import InstanceError, ParsedInstance, inflated, parse_instance
from services.pixels.description import Description, describe

SHIPPED = Path(pydicom.data.__file__).parent / "test_files"
_ALIKE = ("ct-chest-cmb", "mr-epi-timeseries", "mr-brain-t2", "ct-apple-phi")
"""Folders of the wider data set whose files are all coded in the same way."""


@dataclass(frozen=True)
class Image:
    """An instance with pixels."""

    path: Path
    data: bytes
    parsed: ParsedInstance

    @cached_property
    def description(self) -> Description:
        """What its data set says of the pixels."""
        return describe(self.parsed.attributes)

    @property
    def syntax(self) -> str:
        """Its transfer syntax."""
        return self.parsed.transfer_syntax_uid

    @property
    def count(self) -> int:
        """How many frames it has."""
        return self.parsed.layout.frames.count if self.parsed.layout.frames else 0

    def frames(self) -> Iterator[bytes]:
        """Each frame as stored, native ones as little endian."""
        layout = self.parsed.layout
        whole = inflated(self.data) if layout.deflated else self.data
        assert layout.frames is not None
        for number in range(1, self.count + 1):
            span = layout.frames.span(number)
            yield span.take(whole[span.offset : span.offset + span.length], big_endian=layout.big_endian)


def read(data: bytes, path: Path = SHIPPED) -> Image:
    """Take in a file."""
    return Image(path, data, parse_instance(data))


@lru_cache(maxsize=1)
def shipped() -> tuple[Image, ...]:
    """Those that come with pydicom."""
    return tuple(_images(SHIPPED))


def wider(folder: Path, *, some: bool = False) -> Iterator[Image]:
    """Those of the wider data set that are not among them; on request one in ten of those that are alike."""
    known = {image.path.name for image in shipped()}
    return (image for image in _images(folder, some=some) if image.path.name not in known)


def named(name: str) -> Image:
    """One of those that come with pydicom."""
    return next(image for image in shipped() if image.path.name == name)


def _images(folder: Path, *, some: bool = False) -> Iterator[Image]:
    alike: dict[str, int] = {}
    for path in sorted(folder.rglob("*")):
        if not path.is_file():
            continue
        if some and path.parent.name in _ALIKE:
            alike[path.parent.name] = alike.get(path.parent.name, -1) + 1
            if alike[path.parent.name] % 10:
                continue
        try:
            image = read(path.read_bytes(), path)
        except InstanceError:
            continue
        if image.count:
            yield image
