"""What a codestream claims to be, read from its first markers: before anything is allocated or decoded for it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from struct import Struct, error
from typing import Final

from services.pixels.errors import Undecodable

_SHORT: Final = Struct(">H")
_FRAME: Final = Struct(">BHHB")
_SIZE: Final = Struct(">HIIIIIIIIH")
_TILE: Final = Struct(">HIBB")
_SOI, _EOI, _SOF55 = b"\xff\xd8", b"\xff\xd9", 0xF7
_NO_FRAME: Final = (0xC4, 0xC8, 0xCC)
_ADOBE_LENGTH: Final = 14
_SOC: Final = b"\xff\x4f\xff\x51"
_JP2: Final = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
_SOT: Final = b"\xff\x90"


class Colour(StrEnum):
    """What a codestream itself says of its three components."""

    UNSAID = "unsaid"
    RGB = "rgb"
    YBR = "ybr"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a codestream claims.

    Attributes:
        rows: of the image.
        columns: of the image.
        samples: of a pixel.
        precision: bits of a sample.
        signed: samples are signed (JPEG 2000 alone can say that).
        colour: of three components.
    """

    rows: int
    columns: int
    samples: int
    precision: int
    signed: bool = False
    colour: Colour = Colour.UNSAID


def jpeg(data: bytes) -> Claim:
    """Read the markers of a JPEG or JPEG-LS codestream up to its frame header (ISO/IEC 10918-1 B.2, 14495-1 C).

    Raises:
        Undecodable: it is none.
    """
    try:
        return _jpeg(data)
    except (IndexError, error):
        raise Undecodable from None


def _jpeg(data: bytes) -> Claim:
    if not data.startswith(_SOI):
        raise Undecodable
    at, colour = 2, Colour.UNSAID
    while True:
        if data[at] != 0xFF:
            raise Undecodable
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte may stand before any marker
            at += 1
            continue
        (length,) = _SHORT.unpack_from(data, at + 2)
        body = at + 4
        if marker == 0xE0 and data[body : body + 4] == b"JFIF":
            colour = Colour.YBR
        elif marker == 0xEE and length >= _ADOBE_LENGTH and data[body : body + 5] == b"Adobe":
            colour = Colour.RGB if data[body + 11] == 0 else Colour.YBR
        elif (0xC0 <= marker <= 0xCF and marker not in _NO_FRAME) or marker == _SOF55:
            precision, rows, columns, samples = _FRAME.unpack_from(data, body)
            named = bytes(data[body + 6 + 3 * number] for number in range(samples))
            if named in (b"RGB", b"rgb"):
                colour = Colour.RGB
            return Claim(rows, columns, samples, precision, colour=colour)
        at += 2 + length


def ends(data: bytes) -> bool:
    """Tell whether a JPEG codestream has its end: a decoder makes up what is missing, and says nothing."""
    return _EOI in data[-64:] or data.rstrip(b"\0").endswith(_EOI)


def jpeg_2000(data: bytes) -> tuple[Claim, int]:
    """Read the size marker of a JPEG 2000 codestream, bare or in a JP2 file (ISO/IEC 15444-1 A.5.1, Annex I).

    Returns:
        What it claims, and where the codestream begins.

    Raises:
        Undecodable: it is none, or its components are not all of one size.
    """
    start = data.find(_SOC, 0, 65536) if data.startswith(_JP2) else 0
    if start < 0 or data[start : start + 4] != _SOC:
        raise Undecodable
    try:
        _, wide, high, left, top, tile_wide, tile_high, _, _, samples = _SIZE.unpack_from(data, start + 6)
        components = {bytes(data[start + 42 + 3 * n : start + 45 + 3 * n]) for n in range(samples)}
        if len(components) != 1 or not (tile_wide and tile_high) or wide <= left or high <= top:
            raise Undecodable
        depth, step_x, step_y = components.pop()
    except (error, ValueError):
        raise Undecodable from None
    if (step_x, step_y) != (1, 1):
        raise Undecodable
    return Claim(high - top, wide - left, samples, (depth & 0x7F) + 1, signed=bool(depth & 0x80)), start


def has_all_tiles(data: bytes, start: int) -> bool:
    """Tell whether the tile-parts of a JPEG 2000 codestream are all there (ISO/IEC 15444-1 A.4.2)."""
    try:
        at = start + 2
        while data[at : at + 2] != _SOT:
            at += 2 + _SHORT.unpack_from(data, at + 2)[0]
        while data[at : at + 2] == _SOT:
            _, length, _, _ = _TILE.unpack_from(data, at + 4)
            if length == 0:  # up to the end of the codestream
                return _EOI in data[-64:]
            if length < 12:
                return False
            at += length
    except error:
        return False
    return at <= len(data) and data[at : at + 2] == _EOI
