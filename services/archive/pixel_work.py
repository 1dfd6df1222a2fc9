"""What workers do with frames and data sets: the far side of their door. Importing it loads the codecs."""

from __future__ import annotations

import json
from collections.abc import Sequence

from services.pixels import headers
from services.pixels.decoding import conformed, decode
from services.pixels.description import Description
from services.pixels.encoding import encode


def frame(parameters: bytes, data: Sequence[bytes]) -> bytes:
    """Bring a frame from one transfer syntax into another.

    Args:
        parameters: JSON: both transfer syntaxes, the fields of the description, and the bytes that a frame may have.
        data: the encoded frame.

    Raises:
        PixelError: that cannot be.
    """
    stored, target, fields, most_bytes = json.loads(parameters)
    description = Description(*fields)
    decoded = decode(data[0], stored, description, most_bytes=most_bytes)
    return encode(conformed(decoded, description), target, description).data


def header(parameters: bytes, data: Sequence[bytes]) -> bytes:
    """Write the elements before and behind the pixels of a data set anew.

    Args:
        parameters: JSON: the fields of `headers.Change`.
        data: the elements before the pixels, and those behind them.

    Returns:
        The length of what comes before, as 8 bytes of little endian; that; and what comes behind.
    """
    before, behind = headers.rewritten(data[0], data[1], headers.Change(*json.loads(parameters)))
    return len(before).to_bytes(8, "little") + before + behind
