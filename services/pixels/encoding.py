"""Pixels as an array -> an encoded frame. Lossless, but for JPEG Baseline, which is made only for who asks for it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import imagecodecs
import numpy as np
import rle
from numpy.typing import NDArray

from services.pixels.decoding import Decoded, native
from services.pixels.description import Description
from services.pixels.errors import Unencodable
from services.pixels.syntaxes import ABILITIES, Codec, encodable, photometric_in

JPEG_QUALITY: Final = 90
"""Of JPEG Baseline."""

_LOWEST_RESOLUTION: Final = 64
"""HTJ2K with RPCL options goes down to an image that has no side longer than that (PS3.5 10.18)."""

_LEVELS: Final = 5
_FAULTS: Final = (RuntimeError, ValueError, TypeError, OverflowError)

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An encoded frame.

    Attributes:
        data: the codestream, of even length (PS3.5 A.4); a native frame is as long as it is.
        photometric: what Photometric Interpretation says of it (PS3.5 8.2); a decoder gives back what was encoded.
    """

    data: bytes
    photometric: str


def encode(decoded: Decoded, transfer_syntax_uid: str, description: Description) -> Encoded:
    """Encode one frame.

    Args:
        decoded: its pixels, as `decoding.decode` gives them.
        transfer_syntax_uid: to encode in; of the native ones, always as little endian.
        description: what the data set said of the pixels.

    Raises:
        Unencodable: they have no place in it.
    """
    if not encodable(transfer_syntax_uid, description):
        raise Unencodable
    codec = ABILITIES[transfer_syntax_uid].codec
    try:
        data = _encoded(decoded, codec, description)
    except MemoryError:
        raise Unencodable from None
    except _FAULTS:
        raise Unencodable from None
    if codec is not Codec.NATIVE and len(data) % 2:
        data += b"\0"
    return Encoded(data, photometric_in(transfer_syntax_uid, decoded.photometric))


def _encoded(decoded: Decoded, codec: Codec, description: Description) -> bytes:
    array = np.ascontiguousarray(decoded.array)
    match codec:
        case Codec.NATIVE:
            return native(decoded, description)
        case Codec.DEFLATE:
            squeeze = zlib.compressobj(6, zlib.DEFLATED, -zlib.MAX_WBITS)
            return squeeze.compress(native(decoded, description)) + squeeze.flush()
        case Codec.RLE:
            return _rle(array)
        case Codec.JPEG:
            return _jpeg(array, decoded.photometric)
        case Codec.JPEG_LOSSLESS:
            return _jpeg_lossless(array, description)
        case Codec.JPEG_LS:
            # Noise gets longer than it was, and what the library sets aside for three samples is too little for that.
            return bytes(imagecodecs.jpegls_encode(_unsigned(array), out=2 * array.nbytes + 1024))
        case Codec.JPEG_2000:
            return _jpeg_2000(array, decoded.photometric, description)
        case Codec.HTJ2K:
            return _htj2k(array, decoded.photometric)


def _rle(array: Array) -> bytes:
    rows, columns = array.shape[:2]
    return rle.utils.encode_pixel_data(
        array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes(),
        rows=rows,
        columns=columns,
        samples_per_pixel=array.shape[2] if array.ndim == 3 else 1,
        bits_allocated=array.dtype.itemsize * 8,
        byteorder="<",
    )


def _jpeg(array: Array, photometric: str) -> bytes:
    if array.ndim == 2:
        return bytes(imagecodecs.jpeg8_encode(array, JPEG_QUALITY))
    colours = "YCBCR" if photometric == "YBR_FULL" else "RGB"
    return bytes(
        imagecodecs.jpeg8_encode(array, JPEG_QUALITY, colorspace=colours, outcolorspace="YCBCR", subsampling="422")
    )


def _jpeg_lossless(array: Array, description: Description) -> bytes:
    bits = description.allocated if description.signed else _precision(array, description)
    # Selection value 1 takes the sample to the left as its prediction (PS3.5 10.2).
    encoded = partial(imagecodecs.jpeg8_encode, _unsigned(array), lossless=True, predictor=1, bitspersample=bits)
    if array.ndim == 2:
        return bytes(encoded())
    return bytes(encoded(colorspace="RGB", outcolorspace="RGB"))


def _jpeg_2000(array: Array, photometric: str, description: Description) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(
            array,
            codecformat="J2K",
            reversible=True,
            mct=photometric == "RGB",
            bitspersample=_precision(array, description),
            numthreads=1,
        )
    )


def _htj2k(array: Array, photometric: str) -> bytes:
    # The encoder's progression order is RPCL; with the lengths of the tile-parts it fits all three HTJ2K syntaxes.
    levels = max(_LEVELS, (max(array.shape[:2]) - 1).bit_length() - (_LOWEST_RESOLUTION - 1).bit_length())
    return bytes(
        imagecodecs.htj2k_encode(
            array, reversible=True, tlm=True, resolutions=levels, rgb=photometric == "RGB", planar=False
        )
    )


def _precision(array: Array, description: Description) -> int:
    """Bits Stored, unless the bits beyond them are in use (an overlay may lie there, PS3.3 C.9.2)."""
    low, high = int(array.min()), int(array.max())
    stored = description.stored
    least, most = (-(1 << stored - 1), (1 << stored - 1) - 1) if description.signed else (0, (1 << stored) - 1)
    return max(stored, 2) if least <= low and high <= most else description.allocated


def _unsigned(array: Array) -> Array:
    """The same bits; the data set says that they are signed."""
    return array.view(f"u{array.dtype.itemsize}")
