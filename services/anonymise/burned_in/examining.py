"""What a worker does with pixels: read, mask, draw. Only a worker imports it: it has the codecs and the text reader."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from functools import cache
from io import BytesIO
from typing import Final

from PIL import Image, ImageDraw

from services.anonymise.burned_in.frames import Pictures
from services.anonymise.burned_in.masking import covered, masked
from services.anonymise.burned_in.model import Box, Found, covering
from services.anonymise.burned_in.question import Answer, Question
from services.anonymise.burned_in.reading import NoReaderError, Reader

_ROUNDS: Final = 3
"""What was found is masked and the frame read again, so often at most: strong letters hide weak ones."""
_HIDDEN: Final = 0.6
"""What is found where so much is masked already are the edges of the masks."""


def examine(parameters: bytes, data: Sequence[bytes]) -> bytes:
    """Read, mask and encode.

    Args:
        parameters: a packed question.
        data: the value of Pixel Data, and those of the Extended Offset Table and its lengths, or nothing.

    Raises:
        PixelError: the frames cannot be decoded.
        NoReaderError: nobody can read them.
    """
    question: Question = pickle.loads(parameters)  # noqa: S301  # `packed` made it, on the side that is trusted
    pictures = Pictures(question, data)
    masks, found, left = list(question.masks), list[Found](), False
    if question.read:
        reader = _reader()
        numbers: Iterable[int] = range(1, question.frames + 1)
        for _ in range(_ROUNDS):
            new = _found(reader, pictures, numbers, masks)
            if not new:
                break
            found += new
            masks += covering(new)
            numbers = sorted({one.frame for one in new})
        else:
            left = bool(_found(reader, pictures, numbers, masks))
    answer = Answer(tuple(found), left)
    if masks:
        answer = pictures.encoded(lambda _, frame: masked(frame, masks), answer)
    return answer.packed()


def preview(parameters: bytes, data: Sequence[bytes]) -> bytes:
    """Draw one frame as a PNG, with the masks of the question as frames around what they would hide.

    Raises:
        PixelError: the frame cannot be decoded.
    """
    question: Question
    number, question = pickle.loads(parameters)  # noqa: S301  # `packed_for` made it, as above
    pictures = Pictures(question, data)
    ((_, decoded),) = pictures.decoded((number,))
    image = Image.fromarray(next(iter(pictures.shown(decoded))))
    draw = ImageDraw.Draw(image)
    for box in question.masks:
        draw.rectangle((box.x, box.y, box.x + box.width - 1, box.y + box.height - 1), outline=(255, 64, 64))
    out = BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def ready() -> None:
    """Load what takes long and needs files, before the process gives up the right to them."""
    Image.init()
    try:
        _reader()
    except NoReaderError:
        return  # what needs none is still done


@cache
def _reader() -> Reader:
    return Reader()


def _found(reader: Reader, pictures: Pictures, numbers: Iterable[int], masks: list[Box]) -> list[Found]:
    found = []
    for number, decoded in pictures.decoded(numbers):
        texts = {text for picture in pictures.shown(masked(decoded, masks)) for text in reader.read(picture)}
        found += [Found(number, text.box, text.sure) for text in texts if covered(text.box, masks) < _HIDDEN]
    return sorted(found, key=lambda one: (one.frame, one.box))
