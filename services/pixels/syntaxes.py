"""What can be decoded and encoded here, by transfer syntax (PS3.5 8.2, Annex A): a closed table, without the codecs.

It is cheap to import, so that a service can negotiate without loading a codec. `decoding` and `encoding` do what it
says, the tests hold them to it, and `table` writes it down for the conformance statement.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from services.dicom.transfer_syntaxes import (
    DEFLATED_LITTLE_ENDIAN,
    EXPLICIT_BIG_ENDIAN,
    EXPLICIT_LITTLE_ENDIAN,
    IMPLICIT_LITTLE_ENDIAN,
)
from services.pixels.description import Description

ENCAPSULATED_UNCOMPRESSED: Final = "1.2.840.10008.1.2.1.98"
DEFLATED_FRAMES: Final = "1.2.840.10008.1.2.8.1"
RLE_LOSSLESS: Final = "1.2.840.10008.1.2.5"
JPEG_BASELINE: Final = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED: Final = "1.2.840.10008.1.2.4.51"
JPEG_SPECTRAL: Final = "1.2.840.10008.1.2.4.53"
JPEG_PROGRESSIVE: Final = "1.2.840.10008.1.2.4.55"
JPEG_LOSSLESS: Final = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1: Final = "1.2.840.10008.1.2.4.70"
JPEG_LS_LOSSLESS: Final = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR: Final = "1.2.840.10008.1.2.4.81"
JPEG_2000_LOSSLESS: Final = "1.2.840.10008.1.2.4.90"
JPEG_2000: Final = "1.2.840.10008.1.2.4.91"
HTJ2K_LOSSLESS: Final = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL: Final = "1.2.840.10008.1.2.4.202"
HTJ2K: Final = "1.2.840.10008.1.2.4.203"


class Codec(StrEnum):
    """How a frame is coded."""

    NATIVE = "native"
    DEFLATE = "deflate"
    RLE = "rle"
    JPEG = "jpeg"
    JPEG_LOSSLESS = "jpeg-lossless"
    JPEG_LS = "jpeg-ls"
    JPEG_2000 = "jpeg-2000"
    HTJ2K = "htj2k"


@dataclass(frozen=True, slots=True)
class Ability:
    """What is done with one transfer syntax.

    Attributes:
        codec: what codes its frames.
        decodes: Bits Allocated of what is decoded.
        encodes: Bits Allocated of what is encoded; nothing where it is only decoded.
        floating: holds Float and Double Float Pixel Data too.
        lossy: what is encoded here loses information.
    """

    codec: Codec
    decodes: tuple[int, ...]
    encodes: tuple[int, ...] = ()
    floating: bool = False
    lossy: bool = False


_ANY: Final = (1, 8, 16, 32, 64)
_NATIVE: Final = Ability(Codec.NATIVE, _ANY, _ANY, floating=True)

ABILITIES: Final[dict[str, Ability]] = {
    EXPLICIT_LITTLE_ENDIAN: _NATIVE,
    IMPLICIT_LITTLE_ENDIAN: _NATIVE,
    DEFLATED_LITTLE_ENDIAN: _NATIVE,
    EXPLICIT_BIG_ENDIAN: Ability(Codec.NATIVE, _ANY, floating=True),
    ENCAPSULATED_UNCOMPRESSED: Ability(Codec.NATIVE, _ANY, _ANY),
    DEFLATED_FRAMES: Ability(Codec.DEFLATE, _ANY, _ANY),
    HTJ2K_LOSSLESS_RPCL: Ability(Codec.HTJ2K, (8, 16, 32), (8, 16)),
    HTJ2K_LOSSLESS: Ability(Codec.HTJ2K, (8, 16, 32), (8, 16)),
    HTJ2K: Ability(Codec.HTJ2K, (8, 16, 32), (8, 16)),
    JPEG_LS_LOSSLESS: Ability(Codec.JPEG_LS, (8, 16), (8, 16)),
    JPEG_LS_NEAR: Ability(Codec.JPEG_LS, (8, 16)),
    JPEG_2000_LOSSLESS: Ability(Codec.JPEG_2000, (1, 8, 16), (8, 16)),
    JPEG_2000: Ability(Codec.JPEG_2000, (1, 8, 16), (8, 16)),
    JPEG_LOSSLESS_SV1: Ability(Codec.JPEG_LOSSLESS, (8, 16), (8, 16)),
    JPEG_LOSSLESS: Ability(Codec.JPEG_LOSSLESS, (8, 16), (8, 16)),
    RLE_LOSSLESS: Ability(Codec.RLE, (1, 8, 16, 32), (8, 16, 32)),
    JPEG_BASELINE: Ability(Codec.JPEG, (8,), (8,), lossy=True),
    JPEG_EXTENDED: Ability(Codec.JPEG, (8, 16)),
    JPEG_SPECTRAL: Ability(Codec.JPEG, (8, 16)),
    JPEG_PROGRESSIVE: Ability(Codec.JPEG, (8, 16)),
}
"""In the order in which targets are offered. Lossy JPEG is there for who asks for it by name.

JPEG 2000 (…4.91) and HTJ2K (…4.203) may hold both reversible and irreversible codestreams (PS3.5 10.6, 10.18): what is
encoded into them here is reversible, so that nothing is lost to a client that knows no other.
"""


def decodable(transfer_syntax_uid: str, description: Description | None = None) -> bool:
    """Tell whether frames of a transfer syntax can be decoded here, and these ones, should they be described."""
    ability = ABILITIES.get(transfer_syntax_uid)
    if ability is None:
        return False
    if description is None:
        return True
    return description.allocated in ability.decodes and (ability.floating or not description.floating)


def encodable(transfer_syntax_uid: str, description: Description) -> bool:
    """Tell whether such pixels can be encoded here into a transfer syntax."""
    ability = ABILITIES.get(transfer_syntax_uid)
    if ability is None or description.allocated not in ability.encodes:
        return False
    if description.floating and not ability.floating:
        return False
    if description.samples not in (1, 3):
        return ability.codec is Codec.NATIVE
    match ability.codec:
        case Codec.JPEG:
            return not description.signed and description.photometric != "PALETTE COLOR"
        case Codec.JPEG_LOSSLESS:
            # The encoder names the components of a codestream R, G and B, whatever they are.
            return not description.photometric.startswith("YBR_FULL")
        case _:
            return True


def lossless(transfer_syntax_uid: str) -> bool:
    """Tell whether nothing is lost by encoding here into a transfer syntax."""
    ability = ABILITIES.get(transfer_syntax_uid)
    return ability is not None and bool(ability.encodes) and not ability.lossy


def native(transfer_syntax_uid: str) -> bool:
    """Tell whether Pixel Data is native: in no fragments (PS3.5 A.1 to A.3, A.5)."""
    ability = ABILITIES.get(transfer_syntax_uid)
    return ability is _NATIVE or transfer_syntax_uid == EXPLICIT_BIG_ENDIAN


def targets(stored: str, description: Description | None) -> tuple[str, ...]:
    """List what an instance can be transcoded into, best first: Explicit VR Little Endian, then what is small and fast.

    Args:
        stored: its transfer syntax, which is not in the list.
        description: of its pixels; None when it has none, and then only the encoding of the data set can change.
    """
    if stored not in ABILITIES or not decodable(stored, description):
        return ()
    if description is None:
        return tuple(uid for uid in ABILITIES if uid != stored and ABILITIES[uid] is _NATIVE)
    return tuple(uid for uid in ABILITIES if uid != stored and encodable(uid, description))


def photometric_in(transfer_syntax_uid: str, photometric: str) -> str:
    """Tell what Photometric Interpretation says of pixels that are encoded here (PS3.5 8.2.1 to 8.2.4)."""
    match ABILITIES[transfer_syntax_uid].codec:
        case Codec.JPEG if photometric in ("RGB", "YBR_FULL"):
            return "YBR_FULL_422"
        case Codec.JPEG_2000 | Codec.HTJ2K if photometric == "RGB":
            return "YBR_RCT"
        case _:
            return photometric


def always_lossy(transfer_syntax_uid: str) -> bool:
    """Tell whether pixels in a transfer syntax have lost something for certain: those of the DCT-based JPEGs have."""
    ability = ABILITIES.get(transfer_syntax_uid)
    return ability is not None and ability.codec is Codec.JPEG


def by_pixel(transfer_syntax_uid: str) -> bool:
    """Tell whether colour is always by pixel in a transfer syntax; in the others, as Planar Configuration says."""
    ability = ABILITIES.get(transfer_syntax_uid)
    return ability is not None and ability.codec not in (Codec.NATIVE, Codec.DEFLATE)
