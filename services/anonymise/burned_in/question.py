"""What is asked of a worker about the pixels of an instance, and what it answers; loads no codec."""

from __future__ import annotations

import json
import pickle
from dataclasses import dataclass
from struct import Struct
from typing import Final

from services.anonymise.burned_in.model import Box, Found
from services.pixels.description import Description
from services.pixels.rendering.palettes import Palette

_HEAD: Final = Struct("<I")


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be done with the pixels of an instance.

    Attributes:
        syntax: its transfer syntax.
        frames: how many it says to have.
        big_endian: native words are.
        masks: rectangles for every frame.
        read: look for text, and mask what is found.
    """

    syntax: str
    description: Description
    frames: int
    big_endian: bool
    palette: Palette | None
    masks: tuple[Box, ...] = ()
    read: bool = True

    def packed(self) -> bytes:
        """It, for `examine` on the other side of the door."""
        return pickle.dumps(self, pickle.HIGHEST_PROTOCOL)

    def packed_for(self, frame: int) -> bytes:
        """It, for `preview` of one frame."""
        return pickle.dumps((frame, self), pickle.HIGHEST_PROTOCOL)


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found, and the pixels without it.

    Attributes:
        left: text was found still when all that was found had been masked.
        syntax: of `pixels`: that of the instance where nothing is lost by it, or Explicit VR Little Endian.
        photometric: what the samples are now.
        pixels: the value of Pixel Data, of encapsulated ones the run of fragments; None when nothing is masked.
    """

    found: tuple[Found, ...]
    left: bool = False
    syntax: str = ""
    photometric: str = ""
    pixels: bytes | None = None

    def packed(self) -> bytes:
        """It, for our side of the door: nothing that could run here."""
        found = [[one.frame, *one.box, one.sure] for one in self.found]
        head = json.dumps([found, self.left, self.syntax, self.photometric, self.pixels is not None]).encode()
        return _HEAD.pack(len(head)) + head + (self.pixels or b"")

    @classmethod
    def unpacked(cls, data: bytes) -> Answer:
        """What `packed` made.

        Raises:
            ValueError: it is nothing of that kind.
        """
        (length,) = _HEAD.unpack_from(data)
        found, left, syntax, photometric, changed = json.loads(data[_HEAD.size : _HEAD.size + length])
        return cls(
            tuple(Found(int(frame), Box(*map(int, box)), bool(sure)) for frame, *box, sure in found),
            bool(left),
            str(syntax),
            str(photometric),
            data[_HEAD.size + length :] if changed else None,
        )
