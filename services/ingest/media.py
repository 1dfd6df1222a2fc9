"""What the pixels of a bulk data part are: by its media type, and by what the codestream says (PS3.18 10.5.2)."""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct, error
from typing import Final

from services.dicom import transfer_syntaxes
from services.dicom.dicom_json import DicomJson
from services.dicom.multipart import ContentType
from services.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN, TransferSyntax
from services.pixels import codestreams
from services.pixels.codestreams import Claim, Colour
from services.pixels.errors import Undecodable

HEAD_BYTES: Final = 256 * 1024
"""What has to be seen of a codestream."""
_ROOT: Final = "1.2.840.10008.1.2"
_FIXED: Final = {
    "application/octet-stream": EXPLICIT_LITTLE_ENDIAN,
    "image/dicom-rle": f"{_ROOT}.5",
    "image/jpx": f"{_ROOT}.4.92",
    "image/jxl": f"{_ROOT}.4.112",
    "video/mpeg": f"{_ROOT}.4.100",
    "video/mpeg2": f"{_ROOT}.4.100",
    "video/mp4": f"{_ROOT}.4.102",
}
_JPEG: Final = ("image/jpeg", "image/jls")
_JPEG_2000: Final = ("image/jp2", "image/j2c", "image/jph", "image/jphc")
_SEGMENT: Final = Struct(">BBH")
_SOC: Final = b"\xff\x4f\xff\x51"
_SOF0, _SOF1, _SOF3, _SOF55, _SOS = 0xC0, 0xC1, 0xC3, 0xF7, 0xDA
_CAP, _COD, _SOT = 0x50, 0x52, 0x90


def transfer_syntax(media: ContentType, head: bytes) -> TransferSyntax | None:
    """The transfer syntax of an instance whose pixels come as this; None when there is none.

    Args:
        media: of the part. Its parameter `transfer-syntax` says it, if it is there (PS3.18 8.7.3.5.2).
        head: the first `HEAD_BYTES` of the part.
    """
    said = media.parameters.get("transfer-syntax", "")
    try:
        uid = said or _FIXED.get(media.media_type) or _seen(media.media_type, head)
    except (IndexError, error):
        return None
    syntax = transfer_syntaxes.lookup(uid)
    if syntax is None or syntax.encapsulated:
        return syntax
    # Bulk data that is not compressed is little endian, whatever file it will be in (PS3.18 10.5.2).
    return None if syntax.big_endian else transfer_syntaxes.lookup(EXPLICIT_LITTLE_ENDIAN)


def _seen(media_type: str, head: bytes) -> str:
    if media_type in _JPEG:
        return _jpeg(head)
    if media_type in _JPEG_2000:
        codes = dict(_segments(head, max(head.find(_SOC), 0)))
        reversible = codes[_COD][9] == 1
        tail = (".4.201" if reversible else ".4.203") if _CAP in codes else (".4.90" if reversible else ".4.91")
        return _ROOT + tail
    return ""


def _jpeg(head: bytes) -> str:
    codes = dict(_segments(head, 0))
    scan = codes[_SOS]
    third = scan[1 + 2 * scan[0]]  # what predicts, or how far from the original it may be
    if _SOF55 in codes:
        return _ROOT + (".4.80" if third == 0 else ".4.81")
    if _SOF3 in codes:
        return _ROOT + (".4.70" if third == 1 else ".4.57")
    return _ROOT + (".4.50" if _SOF0 in codes else ".4.51" if _SOF1 in codes else "")


def _segments(head: bytes, start: int) -> Iterator[tuple[int, bytes]]:
    """Give the marker segments up to the first scan or tile-part (ISO/IEC 10918-1 B, 15444-1 A)."""
    at = start + 2
    while True:
        prefix, marker, length = _SEGMENT.unpack_from(head, at)
        if prefix != 0xFF:
            raise IndexError
        if marker == 0xFF:
            at += 1
            continue
        yield marker, head[at + 4 : at + 2 + length]
        if marker in (_SOS, _SOT, _COD) and (marker != _COD or head.startswith(_SOC, start)):
            return
        at += 2 + length


def described(head: bytes) -> DicomJson:
    """The Image Pixel Description Macro of a codestream, which the metadata may omit (PS3.18 10.5.2, PS3.3 C.7.6.3).

    Args:
        head: its first `HEAD_BYTES`.

    Returns:
        What is known of it; nothing of what is no JPEG and no JPEG 2000.
    """
    try:
        claim, photometric = codestreams.jpeg(head), _photometric_of_jpeg(head)
    except (Undecodable, IndexError, KeyError, error):
        try:
            claim, start = codestreams.jpeg_2000(head)
            photometric = _photometric_of_jpeg_2000(head, start)
        except (Undecodable, IndexError, KeyError, error):
            return {}
    return _macro(claim, "MONOCHROME2" if claim.samples == 1 else photometric)


def _photometric_of_jpeg(head: bytes) -> str:
    codes = dict(_segments(head, 0))
    if codestreams.jpeg(head).colour is Colour.RGB or _SOF3 in codes or _SOF55 in codes:
        return "RGB"
    frame = codes.get(_SOF0) or codes[_SOF1]
    return "YBR_FULL_422" if frame[7] >> 4 > 1 else "YBR_FULL"


def _photometric_of_jpeg_2000(head: bytes, start: int) -> str:
    coding = dict(_segments(head, start))[_COD]
    if not coding[4]:
        return "RGB"
    return "YBR_RCT" if coding[9] == 1 else "YBR_ICT"


def _macro(claim: Claim, photometric: str) -> DicomJson:
    found: DicomJson = {
        "00280002": {"vr": "US", "Value": [claim.samples]},
        "00280004": {"vr": "CS", "Value": [photometric]},
        "00280010": {"vr": "US", "Value": [claim.rows]},
        "00280011": {"vr": "US", "Value": [claim.columns]},
        "00280100": {"vr": "US", "Value": [8 if claim.precision <= 8 else 16]},
        "00280101": {"vr": "US", "Value": [claim.precision]},
        "00280102": {"vr": "US", "Value": [claim.precision - 1]},
        "00280103": {"vr": "US", "Value": [int(claim.signed)]},
    }
    if claim.samples > 1:
        found["00280006"] = {"vr": "US", "Value": [0]}
    return found
