"""Reading, masking and encoding pixels, on both sides of a worker's door: `Question` goes in, `Answer` comes out."""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from services.anonymise.burned_in.model import Box, Found, covering
from services.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN
from services.pixels.description import Description
from services.pixels.errors import Undecodable
from services.pixels.rendering.palettes import Palette
from services.pixels.syntaxes import encodable, lossless
from services.pixels.syntaxes import native as is_native

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from services.anonymise.burned_in.reading import Reader
    from services.pixels.decoding import Decoded

_ROUNDS: Final = 3
"""What was found is masked and the frame read again, so often at most: strong letters hide weak ones."""
_HIDDEN: Final = 0.6
"""What is found where so much is masked already are the edges of the masks."""
_NARROW: Final = 0.5
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
    pictures = _Pictures(question, data)
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
        answer = pictures.encoded(masks, answer)
    return answer.packed()


def preview(parameters: bytes, data: Sequence[bytes]) -> bytes:
    """Draw one frame as a PNG, with the masks of the question as frames around what they would hide.

    Raises:
        PixelError: the frame cannot be decoded.
    """
    from io import BytesIO

    from PIL import Image, ImageDraw

    question: Question
    number, question = pickle.loads(parameters)  # noqa: S301  # `packed_for` made it, as above
    pictures = _Pictures(question, data)
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
    from importlib import import_module

    from services.anonymise.burned_in.reading import NoReaderError

    for module in ("services.pixels.decoding", "services.pixels.encoding", "PIL.PngImagePlugin", "pydicom.encaps"):
        import_module(module)
    try:
        _reader()
    except NoReaderError:
        return  # what needs none is still done


@cache
def _reader() -> Reader:
    from services.anonymise.burned_in.reading import Reader

    return Reader()


def _found(reader: Reader, pictures: _Pictures, numbers: Iterable[int], masks: list[Box]) -> list[Found]:
    from services.anonymise.burned_in.masking import covered, masked

    found = []
    for number, decoded in pictures.decoded(numbers):
        texts = {text for picture in pictures.shown(masked(decoded, masks)) for text in reader.read(picture)}
        found += [Found(number, text.box, text.sure) for text in texts if covered(text.box, masks) < _HIDDEN]
    return sorted(found, key=lambda one: (one.frame, one.box))


class _Pictures:
    """The frames of an instance."""

    def __init__(self, question: Question, data: Sequence[bytes]) -> None:
        self._question = question
        self._description = question.description
        self._data = data
        self._bits = question.description.allocated == 1 and is_native(question.syntax)

    def decoded(self, numbers: Iterable[int]) -> Iterator[tuple[int, Decoded]]:
        """Frames of these numbers, in order."""
        from services.pixels.decoding import Decoded, conformed, decode

        wanted = set(numbers)
        if self._bits:  # packed without gaps: one tall picture
            whole = decode(bytes(self._data[0]), self._question.syntax, self._tall())
            parts = whole.array.reshape(self._question.frames, self._description.rows, -1)
            for number in sorted(wanted):
                yield number, Decoded(parts[number - 1], whole.photometric)
            return
        for number, encoded in enumerate(self._stored(), 1):
            if number in wanted:
                frame = decode(encoded, self._question.syntax, self._description)
                yield number, conformed(frame, self._description)

    def shown(self, decoded: Decoded) -> Iterator[NDArray[np.uint8]]:
        """A frame as people see it, in red, green and blue: grey ones in a wide window and, where that hides most of
        what is there, in a narrow one."""
        import numpy as np

        from services.pixels.cells import ybr_to_rgb
        from services.pixels.rendering.palettes import colours

        array = decoded.array
        if self._question.palette is not None:
            yield colours(array, self._question.palette)
            return
        if array.ndim == 3:
            if decoded.photometric.startswith("YBR"):
                array = ybr_to_rgb(array)
            yield _eight_bits(array, 0, 255 if array.dtype == np.uint8 else max(int(array.max()), 1))
            return
        grey = np.repeat(array[..., None], 3, 2)
        low, high = float(array.min()), float(array.max())
        yield _eight_bits(grey, low, high)
        inner_low, inner_high = np.percentile(array, (0.5, 99.8))
        if inner_high - inner_low < _NARROW * (high - low):
            yield _eight_bits(grey, inner_low, inner_high)

    def encoded(self, masks: Sequence[Box], answer: Answer) -> Answer:
        """All frames with the masks, in the transfer syntax that they came in, if nothing is lost by that."""
        import numpy as np

        from services.anonymise.burned_in.masking import masked
        from services.pixels.decoding import Decoded, native
        from services.pixels.encoding import encode

        question, description = self._question, self._description
        frames = (masked(frame, masks) for _, frame in self.decoded(range(1, question.frames + 1)))
        photometric = description.decoded.photometric
        if self._bits:
            tall = Decoded(np.concatenate([frame.array for frame in frames]), description.photometric)
            return replace(answer, syntax=question.syntax, photometric=photometric, pixels=native(tall, self._tall()))
        if is_native(question.syntax):
            value = b"".join(native(frame, description) for frame in frames)
            if question.big_endian and description.allocated > 8:
                value = np.frombuffer(value, f"<u{description.allocated // 8}").byteswap().tobytes()
            return replace(answer, syntax=question.syntax, photometric=photometric, pixels=value)
        if lossless(question.syntax) and encodable(question.syntax, description):
            from pydicom.encaps import encapsulate

            made = [encode(frame, question.syntax, description) for frame in frames]
            pixels = encapsulate([one.data for one in made])
            return replace(answer, syntax=question.syntax, photometric=made[0].photometric, pixels=pixels)
        by_pixel = replace(description, planar=False)
        value = b"".join(native(frame, by_pixel) for frame in frames)
        return replace(answer, syntax=EXPLICIT_LITTLE_ENDIAN, photometric=photometric, pixels=value)

    def _stored(self) -> Iterator[bytes]:
        question, value = self._question, self._data[0]
        if not is_native(question.syntax):
            yield from self._fragments()
            return
        length = (self._description.frame_bits + 7) // 8
        if len(value) < length * question.frames:
            raise Undecodable
        for number in range(question.frames):
            frame = bytes(value[number * length : (number + 1) * length])
            yield _swapped(frame, self._description.allocated) if question.big_endian else frame

    def _fragments(self) -> Iterator[bytes]:
        from pydicom.encaps import generate_frames

        offsets = (self._data[1], self._data[2]) if len(self._data) == 3 else None
        count = self._question.frames
        try:
            frames = list(
                islice(generate_frames(self._data[0], number_of_frames=count, extended_offsets=offsets), count)
            )
        except (ValueError, IndexError, EOFError) as error:
            raise Undecodable from error
        if len(frames) != count:
            raise Undecodable
        yield from frames

    def _tall(self) -> Description:
        return replace(self._description, rows=self._description.rows * self._question.frames)


def _swapped(frame: bytes, allocated: int) -> bytes:
    import numpy as np

    return np.frombuffer(frame, f">u{allocated // 8}").byteswap().tobytes() if allocated > 8 else frame


def _eight_bits(array: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    import numpy as np

    if array.dtype == np.uint8 and (low, high) == (0, 255):
        return np.ascontiguousarray(array)
    scaled = (array.astype(np.float32) - low) * (255 / max(high - low, 1e-6))
    made: NDArray[np.uint8] = np.clip(scaled, 0, 255).astype(np.uint8)
    return made
