"""An encoded frame -> its pixels as an array; and such an array -> the native bytes of the data set's description."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any, Final

import imagecodecs
import numpy as np
import rle
from numpy.typing import NDArray

from services.pixels import codestreams
from services.pixels.cells import pack, rgb_to_ybr, unpack, with_full_chrominance, ybr_to_rgb
from services.pixels.codestreams import Claim, Colour
from services.pixels.description import SUBSAMPLED, Description
from services.pixels.errors import TooLarge, Undecodable
from services.pixels.syntaxes import ABILITIES, Codec, decodable

MOST_BYTES: Final = 2**30
"""Of one decoded frame, unless the caller says otherwise."""

_RLE_HEADER: Final = 64
_FAULTS: Final = (RuntimeError, ValueError, TypeError, OverflowError, IndexError, KeyError, zlib.error)
"""What codecs raise; each of imagecodecs has a subclass of RuntimeError."""

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Decoded:
    """The pixels of a frame.

    Attributes:
        array: rows × columns, or × samples: always colour by pixel. Single bits are bytes of 0 and 1. Integers are of
            Bits Allocated and of the signedness that the data set says; bits beyond Bits Stored are as they were.
        photometric: what the samples are now: never subsampled, and never transformed by a codec (PS3.3 C.7.6.3.1.2).
    """

    array: Array
    photometric: str


def decode(
    encoded: bytes, transfer_syntax_uid: str, description: Description, *, most_bytes: int = MOST_BYTES
) -> Decoded:
    """Decode one frame.

    Args:
        encoded: its bytes: of all its fragments; of a native one, as little endian.
        transfer_syntax_uid: of the instance.
        description: what the data set says of its pixels.
        most_bytes: that the decoded frame may have.

    Raises:
        Undecodable: no codec reads it, or it is not what the data set says.
        TooLarge: it would be larger than that.
    """
    if description.decoded_bytes > most_bytes:
        raise TooLarge
    if not decodable(transfer_syntax_uid, description):
        raise Undecodable
    try:
        decoded = _decoded(encoded, ABILITIES[transfer_syntax_uid].codec, description)
    except MemoryError:
        raise TooLarge from None
    except _FAULTS:
        raise Undecodable from None
    shape = (description.rows, description.columns, description.samples)
    if decoded.array.shape != shape[: 2 if description.samples == 1 else 3]:
        raise Undecodable
    return decoded


def native(decoded: Decoded, description: Description) -> bytes:
    """Write pixels as native little endian bytes as a description says: packed, by plane, RGB or YBR.

    The chrominance of what was compressed is not subsampled again, whatever the description says: what is written is
    what `Description.decoded` describes.
    """
    array = conformed(decoded, description).array
    if description.allocated == 1:
        return pack(array)
    if description.planar and array.ndim == 3:
        array = array.transpose(2, 0, 1)
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def conformed(decoded: Decoded, description: Description) -> Decoded:
    """Bring pixels into the colour space that the data set names, where their codestream was in the other one."""
    wanted = description.decoded.photometric
    match decoded.photometric, wanted:
        case "RGB", "YBR_FULL":
            return Decoded(rgb_to_ybr(decoded.array), wanted)
        case "YBR_FULL", "RGB":
            return Decoded(ybr_to_rgb(decoded.array), wanted)
        case _:
            return decoded


def _decoded(encoded: bytes, codec: Codec, description: Description) -> Decoded:
    match codec:
        case Codec.NATIVE:
            return _native(encoded, description)
        case Codec.DEFLATE:
            return _native(_inflated(encoded, description), description)
        case Codec.RLE:
            return _rle(encoded, description)
        case Codec.JPEG | Codec.JPEG_LOSSLESS:
            return _jpeg(encoded, description)
        case Codec.JPEG_LS:
            return _jpeg_ls(encoded, description)
        case Codec.JPEG_2000 | Codec.HTJ2K:
            return _jpeg_2000(encoded, codec, description)


def _native(data: bytes, description: Description) -> Decoded:
    length = (description.frame_bits + 7) // 8
    if len(data) < length:
        raise Undecodable
    rows, columns, samples = description.rows, description.columns, description.samples
    if description.allocated == 1:
        return Decoded(_shaped(unpack(data, rows * columns * samples), description), description.photometric)
    cells = np.frombuffer(data, f"<{description.cell}", length // max(description.allocated // 8, 1))
    if description.photometric in SUBSAMPLED:
        return Decoded(with_full_chrominance(cells, rows, columns), "YBR_FULL")
    if description.planar and samples > 1:
        return Decoded(cells.reshape(samples, rows, columns).transpose(1, 2, 0), description.photometric)
    return Decoded(_shaped(cells, description), description.photometric)


def _inflated(data: bytes, description: Description) -> bytes:
    length = (description.frame_bits + 7) // 8
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, length + 1)


def _rle(data: bytes, description: Description) -> Decoded:
    if description.allocated == 1:
        return Decoded(_shaped(_rle_bits(data, description), description), description.photometric)
    planes = rle.utils.decode_pixel_data(
        data,
        version=2,
        rows=description.rows,
        columns=description.columns,
        bits_allocated=description.allocated,
        samples_per_pixel=description.samples,
    )
    cells = np.frombuffer(planes, f"<{description.cell}")
    array = cells.reshape(description.samples, description.rows, description.columns).transpose(1, 2, 0)
    return Decoded(array if description.samples > 1 else array[..., 0], description.decoded.photometric)


def _rle_bits(data: bytes, description: Description) -> NDArray[np.uint8]:
    """Single bits: some write them packed as they are when native, others as a byte each."""
    count = description.rows * description.columns * description.samples
    segment = bytes(rle.utils.decode_segment(data[_RLE_HEADER:]))  # type: ignore[attr-defined]
    packed = (count + 7) // 8
    if packed <= len(segment) <= packed + 1:
        return unpack(segment, count)
    if count <= len(segment) <= count + 1:
        return np.frombuffer(segment, np.uint8, count)
    raise Undecodable


def _jpeg(data: bytes, description: Description) -> Decoded:
    claim = codestreams.jpeg(data)
    _agree(claim, description)
    if not codestreams.ends(data):
        raise Undecodable
    if claim.samples == 1:
        array = imagecodecs.jpeg8_decode(data)
    else:
        # Both said to be one colour space: the samples come out as they are in the codestream.
        array = imagecodecs.jpeg8_decode(data, colorspace="YCBCR", outcolorspace="YCBCR")
    return Decoded(_celled(array, claim.precision, description), _colour(claim, description))


def _jpeg_ls(data: bytes, description: Description) -> Decoded:
    claim = codestreams.jpeg(data)
    _agree(claim, description)
    if not codestreams.ends(data):
        raise Undecodable
    array = imagecodecs.jpegls_decode(data)
    if array.ndim == 3 and array.shape[0] == claim.samples != array.shape[2]:
        array = array.transpose(1, 2, 0)
    return Decoded(_celled(array, claim.precision, description), description.decoded.photometric)


def _jpeg_2000(data: bytes, codec: Codec, description: Description) -> Decoded:
    claim, start = codestreams.jpeg_2000(data)
    _agree(claim, description)
    if codec is Codec.HTJ2K:
        if not codestreams.has_all_tiles(data, start):
            raise Undecodable
        array = imagecodecs.htj2k_decode(data[start:], planar=False)
    else:
        array = imagecodecs.jpeg2k_decode(data[start:], planar=False, numthreads=1)
    if claim.signed and not description.signed:
        # Cut to the bits that the codestream has: it should have been unsigned, and the sign is its highest bit.
        array = array.view(f"u{array.dtype.itemsize}") & ((1 << claim.precision) - 1)
    return Decoded(_celled(array, claim.precision, description), description.decoded.photometric)


def _agree(claim: Claim, description: Description) -> None:
    claimed = claim.rows, claim.columns, claim.samples
    if claimed != (description.rows, description.columns, description.samples):
        raise Undecodable
    if claim.precision > max(description.allocated, 8):
        raise Undecodable


def _colour(claim: Claim, description: Description) -> str:
    """What the components of a JPEG frame are: the codestream knows better than the data set, where it says so."""
    if claim.samples != 3:
        return description.photometric
    match claim.colour:
        case Colour.RGB:
            return "RGB"
        case Colour.YBR:
            return "YBR_FULL"
        case Colour.UNSAID:
            return description.decoded.photometric


def _celled(array: Array, precision: int, description: Description) -> Array:
    """Put samples into cells of Bits Allocated; where they are signed and the codec could not know, extend the sign."""
    cell = np.dtype(description.cell)
    if description.signed and array.dtype.kind == "u":
        shift = 8 * array.dtype.itemsize - precision
        array = (array << shift).view(f"i{array.dtype.itemsize}") >> shift
    return array.astype(cell, copy=False)


def _shaped(cells: Array, description: Description) -> Array:
    shape = (description.rows, description.columns)
    return cells.reshape(shape if description.samples == 1 else (*shape, description.samples))
