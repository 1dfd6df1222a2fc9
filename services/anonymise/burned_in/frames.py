"""The frames of an instance: decoded, as people see them, encoded again. Only a worker imports it and its codecs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate, generate_frames

from services.anonymise.burned_in.question import Answer, Question
from services.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN
from services.pixels.cells import ybr_to_rgb
from services.pixels.decoding import Decoded, conformed, decode, native
from services.pixels.description import Description
from services.pixels.encoding import encode
from services.pixels.errors import Undecodable
from services.pixels.rendering.palettes import colours
from services.pixels.syntaxes import encodable, lossless
from services.pixels.syntaxes import native as is_native

_NARROW: Final = 0.5


class Pictures:
    """The frames of an instance."""

    def __init__(self, question: Question, data: Sequence[bytes]) -> None:
        self._question = question
        self._description = question.description
        self._data = data
        self._bits = question.description.allocated == 1 and is_native(question.syntax)

    def decoded(self, numbers: Iterable[int]) -> Iterator[tuple[int, Decoded]]:
        """Frames of these numbers, in order."""
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

    def encoded(self, edited: Callable[[int, Decoded], Decoded], answer: Answer) -> Answer:
        """All frames as `edited` gives them, in the transfer syntax that they came in, if nothing is lost by that."""
        question, description = self._question, self._description
        frames = (edited(number, frame) for number, frame in self.decoded(range(1, question.frames + 1)))
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
    return np.frombuffer(frame, f">u{allocated // 8}").byteswap().tobytes() if allocated > 8 else frame


def _eight_bits(array: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    if array.dtype == np.uint8 and (low, high) == (0, 255):
        return np.ascontiguousarray(array)
    scaled = (array.astype(np.float32) - low) * (255 / max(high - low, 1e-6))
    made: NDArray[np.uint8] = np.clip(scaled, 0, 255).astype(np.uint8)
    return made
