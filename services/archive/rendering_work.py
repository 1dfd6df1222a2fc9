"""Making an image, on both sides of a worker's door: `packed` writes the question, `render` answers it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from services.dicom.frames import FrameSpan
from services.pixels.description import describe
from services.pixels.rendering.job import Job
from services.pixels.rendering.view import InvalidParameter

VIEWPORT: Final = "viewport"
LETTERS: Final = "letters"
DRAWING: Final = "drawing"
GONE: Final = "gone"
"""Why no image is made: nothing of it is in the viewport, no font has the letters of the annotation, the data set's
tables and profiles cannot be used, or the object is no longer there."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A frame in a local file, for the worker to read: half a megabyte the less to send to it.

    Attributes:
        path: of the object.
        span: of the frame in it.
        big_endian: its words are.
    """

    path: str
    span: FrameSpan
    big_endian: bool

    def read(self) -> bytes:
        """The frame as stored; of a native one, as little endian."""
        opened = os.open(self.path, os.O_RDONLY)
        try:
            data = os.pread(opened, self.span.length, self.span.offset)
        finally:
            os.close(opened)
        return self.span.take(data, big_endian=self.big_endian)


class Refused(Exception):
    """An image cannot be made; `code`, one of the words above, crosses the door."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def packed(job: Job, transfer_syntax_uid: str, attributes: Mapping[str, Any], stored: Sequence[Stored] = ()) -> bytes:
    """Write down what `render` needs beside frames that are sent.

    Args:
        job: how they are drawn.
        transfer_syntax_uid: of them.
        attributes: of the instance.
        stored: the frames, where they are not sent.

    Raises:
        PixelError: the data set does not describe its pixels.
    """
    description = describe(attributes) if job.places else None
    return pickle.dumps((job, transfer_syntax_uid, description, tuple(stored)), pickle.HIGHEST_PROTOCOL)


def render(parameters: bytes, frames: Sequence[bytes]) -> bytes:
    """Decode, draw and encode.

    Raises:
        PixelError: the frames cannot be decoded.
        Refused: they cannot be drawn.
    """
    from services.pixels.decoding import decode
    from services.pixels.rendering.lettering import NotWritable
    from services.pixels.rendering.making import FAULTS, run

    job, transfer_syntax_uid, description, stored = pickle.loads(parameters)  # noqa: S301  # `packed` made it

    def decoded(encoded: bytes) -> tuple[Any, str]:
        made = decode(encoded, transfer_syntax_uid, description)
        return made.array, made.photometric

    try:
        return run(job, [each.read() for each in stored] or frames, decoded)
    except OSError:
        raise Refused(GONE) from None
    except InvalidParameter:
        raise Refused(VIEWPORT) from None
    except NotWritable:
        raise Refused(LETTERS) from None
    except FAULTS:
        raise Refused(DRAWING) from None
