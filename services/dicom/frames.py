"""Where each frame of an instance lies (PS3.5 8.2 and A.4), so that one frame costs one range read."""

import array
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

_FRAGMENT: Final = Struct("<QI")
_FIRST: Final = Struct("<I")
_ITEM_HEADER: Final = 8


class NoSuchFrame(LookupError):
    """The instance has no frame of this number."""

    def __init__(self) -> None:
        super().__init__("no such frame")


@dataclass(frozen=True, slots=True)
class FrameSpan:
    """One range to read, and how the frame comes out of it.

    Attributes:
        offset: of the range in the (inflated) file.
        length: of the range in bytes.
        pieces: (offset in the range, length) of each fragment; one for nearly all frames.
        first_bit: of a bit-packed frame, its first bit in the range; otherwise 0.
        bits: of a bit-packed frame that needs shifting or masking, how many; otherwise 0.
        word: bytes a word of native pixels: what to swap when the file is big endian; 1 in a file that is not.
    """

    offset: int
    length: int
    pieces: tuple[tuple[int, int], ...]
    first_bit: int = 0
    bits: int = 0
    word: int = 1

    def take(self, data: bytes, *, big_endian: bool = False) -> bytes:
        """Takes the frame out of the bytes of the range, native ones as little endian."""
        if big_endian and self.word > 1:
            data = swapped(data, self.word)
        if self.bits:
            whole = int.from_bytes(data, "little") >> self.first_bit & (1 << self.bits) - 1
            return whole.to_bytes((self.bits + 7) // 8, "little")
        if self.pieces == ((0, len(data)),):
            return data
        return b"".join(data[at : at + length] for at, length in self.pieces)


@dataclass(frozen=True, slots=True)
class NativeFrames:
    """Frames that lie one after another, all of one size.

    Attributes:
        offset: of Pixel Data's value.
        frame_bits: of one frame; frames of single-bit pixels are packed without gaps (PS3.5 8.1.1).
        count: of frames.
        word: bytes a word.
    """

    offset: int
    frame_bits: int
    count: int
    word: int

    def span(self, number: int) -> FrameSpan:
        """Gives the place of a frame, counted from 1.

        Raises:
            NoSuchFrame: there are fewer frames.
        """
        if not 1 <= number <= self.count:
            raise NoSuchFrame
        first, beyond = (number - 1) * self.frame_bits, number * self.frame_bits
        start, stop = first // 8, (beyond + 7) // 8
        packed = self.frame_bits % 8 != 0
        # Words are turned as they lie in the file: the range is of whole ones, also where a frame ends in one of them.
        before = start % self.word
        return FrameSpan(
            offset=self.offset + start - before,
            length=before + stop - start + -stop % self.word,
            pieces=((before, stop - start),),
            first_bit=8 * before + first % 8 if packed else 0,
            bits=self.frame_bits if packed else 0,
            word=self.word,
        )


@dataclass(frozen=True, slots=True)
class FragmentedFrames:
    """Encapsulated frames, each of one or more fragments.

    Attributes:
        fragments: packed (offset, length) of each fragment in the file.
        first: packed index of each frame's first fragment; empty when every fragment is one frame.
    """

    fragments: bytes
    first: bytes = b""

    @property
    def count(self) -> int:
        """How many frames there are."""
        return len(self.first) // _FIRST.size if self.first else len(self.fragments) // _FRAGMENT.size

    def span(self, number: int) -> FrameSpan:
        """Gives the place of a frame, counted from 1.

        Raises:
            NoSuchFrame: there are fewer frames.
        """
        if not 1 <= number <= self.count:
            raise NoSuchFrame
        begin, end = number - 1, number
        if self.first:
            (begin,) = _FIRST.unpack_from(self.first, (number - 1) * _FIRST.size)
            end = len(self.fragments) // _FRAGMENT.size
            if number < self.count:
                (end,) = _FIRST.unpack_from(self.first, number * _FIRST.size)
        parts = [_FRAGMENT.unpack_from(self.fragments, at * _FRAGMENT.size) for at in range(begin, end)]
        start = parts[0][0]
        stop = parts[-1][0] + parts[-1][1]
        return FrameSpan(start, stop - start, tuple((at - start, length) for at, length in parts))


FrameIndex = NativeFrames | FragmentedFrames


def fragmented(fragments: list[tuple[int, int]], first: list[int] | None = None) -> FragmentedFrames:
    """Makes the index of encapsulated frames from (offset, length) of the fragments and each frame's first one."""
    return FragmentedFrames(
        fragments=b"".join(_FRAGMENT.pack(offset, length) for offset, length in fragments),
        first=b"".join(_FIRST.pack(index) for index in first or ()),
    )


def frames_to(frames: FrameIndex | None) -> tuple[dict[str, Any] | None, bytes]:
    """Splits an index into a small description and a binary table, for keeping."""
    match frames:
        case None:
            return None, b""
        case NativeFrames(offset, frame_bits, count, word):
            return {"native": [offset, frame_bits, count, word]}, b""
        case FragmentedFrames(fragments, first):
            return {"fragments": len(fragments)}, fragments + first


def frames_from(described: dict[str, Any] | None, table: bytes) -> FrameIndex | None:
    """Joins what `frames_to` split."""
    if described is None:
        return None
    if "native" in described:
        return NativeFrames(*described["native"])
    split = described["fragments"]
    return FragmentedFrames(table[:split], table[split:])


def swapped(data: bytes, word: int) -> bytes:
    """Turns the byte order of words of 2, 4 or 8 bytes; a rest shorter than a word stays as it is."""
    whole = len(data) // word * word
    words = array.array({2: "H", 4: "I", 8: "Q"}[word], data[:whole])
    words.byteswap()
    return words.tobytes() + data[whole:]


def unwrapped(value: bytes) -> bytes:
    """Joins the fragments of encapsulated data, without their item headers and without the offset table (PS3.5 A.4)."""
    joined = []
    position, first = 0, True
    while position + _ITEM_HEADER <= len(value):
        start = position + _ITEM_HEADER
        position = start + int.from_bytes(value[position + 4 : start], "little")
        if not first:
            joined.append(value[start:position])
        first = False
    return b"".join(joined)
