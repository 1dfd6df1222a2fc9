"""From the pixel elements of an instance to the index of its frames (PS3.3 C.7.6.3, PS3.5 8 and A.4)."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from struct import Struct
from typing import Any, Final

from services.dicom.elements import Element
from services.dicom.frames import FrameIndex, NativeFrames, fragmented
from services.dicom.transfer_syntaxes import TransferSyntax

EXTENDED_OFFSET_TABLE: Final = 0x7FE00001
PIXEL_DATA: Final = 0x7FE00010
PIXEL_TAGS: Final = {0x7FE00008: 32, 0x7FE00009: 64, PIXEL_DATA: 0}
"""Float, double float and integer Pixel Data, with the bits that the first two fix (PS3.3 C.7.6.24, C.7.6.25)."""

_START_MARKERS: Final = (b"\xff\xd8", b"\xff\x4f\xff\x51", b"\x00\x00\x00\x0cjP  ")


class PixelFault(StrEnum):
    """What is odd about the pixels; an instance is refused for the first only."""

    SHORT = "pixel-data-short"
    FEWER_FRAGMENTS = "fewer-fragments-than-frames"
    AMBIGUOUS = "frames-ambiguous"
    NOT_DESCRIBED = "pixels-not-described"


@dataclass(frozen=True, slots=True)
class _Image:
    """The Image Pixel attributes that say how long a native frame is."""

    rows: int
    columns: int
    samples: int
    bits: int
    frames: int
    photometric: str

    @property
    def frame_bits(self) -> int:
        # 4:2:2 stores two samples a pixel: chrominance only for every other one (PS3.3 C.7.6.3.1.2).
        samples = 2 if self.photometric in ("YBR_FULL_422", "YBR_PARTIAL_422") else self.samples
        return self.rows * self.columns * samples * self.bits


def index_pixels(
    data: memoryview, elements: list[Element], attributes: Mapping[str, Any], syntax: TransferSyntax
) -> tuple[FrameIndex | None, PixelFault | None]:
    """Finds every frame.

    Args:
        data: the bytes in which the offsets of `elements` count.
        elements: the top level of the data set.
        attributes: the same as DICOM JSON.
        syntax: the transfer syntax.

    Returns:
        The index (None when there is no pixel or no frame has bytes of its own), and what is wrong, if anything.
    """
    pixels = next((element for element in elements if element.tag in PIXEL_TAGS), None)
    if pixels is None or syntax.video:
        return None, None
    image = _described(attributes, PIXEL_TAGS[pixels.tag])
    if pixels.fragments is not None:
        table = next((element for element in elements if element.tag == EXTENDED_OFFSET_TABLE), None)
        return _encapsulated(data, pixels.fragments, table, image.frames)
    return _native(pixels, image, big_endian=syntax.big_endian)


def _described(attributes: Mapping[str, Any], fixed_bits: int) -> _Image:
    def number(tag: str, default: int) -> int:
        value = next(iter(attributes.get(tag, {}).get("Value", ())), None)
        return value if isinstance(value, int) and value > 0 else default

    photometric = next(iter(attributes.get("00280004", {}).get("Value", ())), "")
    return _Image(
        rows=number("00280010", 0),
        columns=number("00280011", 0),
        samples=number("00280002", 1),
        bits=fixed_bits or number("00280100", 0),
        frames=number("00280008", 1),
        photometric=str(photometric),
    )


def _native(pixels: Element, image: _Image, *, big_endian: bool) -> tuple[FrameIndex | None, PixelFault | None]:
    frame_bits = image.frame_bits
    if frame_bits == 0:
        return None, PixelFault.NOT_DESCRIBED
    if pixels.length * 8 < frame_bits * image.frames:
        return None, PixelFault.SHORT
    word = {"OB": 1, "OF": 4, "OD": 8}.get(pixels.vr, max(2, image.bits // 8)) if big_endian else 1
    return NativeFrames(pixels.offset, frame_bits, image.frames, word), None


def _encapsulated(
    data: memoryview, items: list[tuple[int, int]], extended: Element | None, frames: int
) -> tuple[FrameIndex | None, PixelFault | None]:
    if not items:
        return None, PixelFault.FEWER_FRAGMENTS
    basic, fragments = items[0], items[1:]
    if len(fragments) < frames:
        return (fragmented(fragments) if fragments else None), PixelFault.FEWER_FRAGMENTS
    if len(fragments) == frames:
        return fragmented(fragments), None
    if frames == 1:
        return fragmented(fragments, [0]), None
    offsets = _offsets(data, basic, extended)
    if len(offsets) == frames and (first := _by_offsets(fragments, offsets)) is not None:
        return fragmented(fragments, first), None
    first = _by_markers(data, fragments)
    if len(first) == frames:
        return fragmented(fragments, first), None
    return None, PixelFault.AMBIGUOUS


def _offsets(data: memoryview, basic: tuple[int, int], extended: Element | None) -> list[int]:
    """Reads the Extended Offset Table (PS3.3 C.7.6.3.1.8) or else the basic one (PS3.5 A.4)."""
    if extended is not None and extended.length:
        count = extended.length // 8
        return list(Struct(f"<{count}Q").unpack_from(data, extended.offset))
    count = basic[1] // 4
    return list(Struct(f"<{count}L").unpack_from(data, basic[0]))


def _by_offsets(fragments: list[tuple[int, int]], offsets: list[int]) -> list[int] | None:
    # Offsets count from the first fragment's item header to the item header of each frame's first fragment.
    base = fragments[0][0]
    index = {at - base: number for number, (at, _) in enumerate(fragments)}
    first = [index.get(offset, -1) for offset in offsets]
    ascending = all(before < after for before, after in pairwise(first))
    return first if first[0] == 0 and ascending else None


def _by_markers(data: memoryview, fragments: list[tuple[int, int]]) -> list[int]:
    """Takes each fragment that opens a codestream as the first of a frame: SOI of JPEG, SOC of JPEG 2000, a JP2 box."""
    return [number for number, (at, _) in enumerate(fragments) if bytes(data[at : at + 8]).startswith(_START_MARKERS)]
