"""The transfer syntaxes that we know (PS3.6 A, PS3.5 10 and Annex A): a closed table.

An instance in any other syntax is refused at the front door, because its bytes cannot be found again.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """How a data set is encoded.

    Attributes:
        uid: its UID.
        name: its name in PS3.6.
        explicit: the VR is written with each element.
        big_endian: numbers are big endian.
        deflated: the data set is one deflated stream (PS3.5 A.5).
        encapsulated: Pixel Data is in fragments (PS3.5 A.4).
        lossy: the codec may lose information.
        video: one codestream holds many frames, so that a frame has no bytes of its own.
        media_type: of one frame when it is asked for by media type (PS3.18 8.7.3.3); "" is application/octet-stream.
    """

    uid: str
    name: str
    explicit: bool = True
    big_endian: bool = False
    deflated: bool = False
    encapsulated: bool = False
    lossy: bool = False
    video: bool = False
    media_type: str = ""


IMPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
DEFLATED_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"


def _native() -> tuple[TransferSyntax, ...]:
    return (
        TransferSyntax(IMPLICIT_LITTLE_ENDIAN, "Implicit VR Little Endian", explicit=False),
        TransferSyntax(EXPLICIT_LITTLE_ENDIAN, "Explicit VR Little Endian"),
        TransferSyntax(DEFLATED_LITTLE_ENDIAN, "Deflated Explicit VR Little Endian", deflated=True),
        TransferSyntax(EXPLICIT_BIG_ENDIAN, "Explicit VR Big Endian (Retired)", big_endian=True),
        # The pixels lie elsewhere, behind a URL in the data set.
        TransferSyntax("1.2.840.10008.1.2.4.94", "JPIP Referenced"),
        TransferSyntax("1.2.840.10008.1.2.4.95", "JPIP Referenced Deflate", deflated=True),
        TransferSyntax("1.2.840.10008.1.2.4.204", "JPIP HTJ2K Referenced"),
        TransferSyntax("1.2.840.10008.1.2.4.205", "JPIP HTJ2K Referenced Deflate", deflated=True),
    )


def _encapsulated() -> tuple[TransferSyntax, ...]:
    # (last part of the UID, name, lossy, media type), PS3.18 Table 8.7.3-5 for the media types
    still = (
        ("4.50", "JPEG Baseline (Process 1)", True, "image/jpeg"),
        ("4.51", "JPEG Extended (Process 2 & 4)", True, "image/jpeg"),
        ("4.52", "JPEG Extended (Process 3 & 5) (Retired)", True, "image/jpeg"),
        ("4.53", "JPEG Spectral Selection, Non-Hierarchical (Process 6 & 8) (Retired)", True, "image/jpeg"),
        ("4.54", "JPEG Spectral Selection, Non-Hierarchical (Process 7 & 9) (Retired)", True, "image/jpeg"),
        ("4.55", "JPEG Full Progression, Non-Hierarchical (Process 10 & 12) (Retired)", True, "image/jpeg"),
        ("4.56", "JPEG Full Progression, Non-Hierarchical (Process 11 & 13) (Retired)", True, "image/jpeg"),
        ("4.57", "JPEG Lossless, Non-Hierarchical (Process 14)", False, "image/jpeg"),
        ("4.58", "JPEG Lossless, Non-Hierarchical (Process 15) (Retired)", False, "image/jpeg"),
        ("4.59", "JPEG Extended, Hierarchical (Process 16 & 18) (Retired)", True, "image/jpeg"),
        ("4.60", "JPEG Extended, Hierarchical (Process 17 & 19) (Retired)", True, "image/jpeg"),
        ("4.61", "JPEG Spectral Selection, Hierarchical (Process 20 & 22) (Retired)", True, "image/jpeg"),
        ("4.62", "JPEG Spectral Selection, Hierarchical (Process 21 & 23) (Retired)", True, "image/jpeg"),
        ("4.63", "JPEG Full Progression, Hierarchical (Process 24 & 26) (Retired)", True, "image/jpeg"),
        ("4.64", "JPEG Full Progression, Hierarchical (Process 25 & 27) (Retired)", True, "image/jpeg"),
        ("4.65", "JPEG Lossless, Hierarchical (Process 28) (Retired)", False, "image/jpeg"),
        ("4.66", "JPEG Lossless, Hierarchical (Process 29) (Retired)", False, "image/jpeg"),
        ("4.70", "JPEG Lossless, Non-Hierarchical, First-Order Prediction", False, "image/jpeg"),
        ("4.80", "JPEG-LS Lossless", False, "image/jls"),
        ("4.81", "JPEG-LS Lossy (Near-Lossless)", True, "image/jls"),
        ("4.90", "JPEG 2000 (Lossless Only)", False, "image/jp2"),
        ("4.91", "JPEG 2000", True, "image/jp2"),
        ("4.92", "JPEG 2000 Part 2 Multi-component (Lossless Only)", False, "image/jpx"),
        ("4.93", "JPEG 2000 Part 2 Multi-component", True, "image/jpx"),
        ("4.110", "JPEG XL Lossless", False, "image/jxl"),
        ("4.111", "JPEG XL JPEG Recompression", True, "image/jxl"),
        ("4.112", "JPEG XL", True, "image/jxl"),
        ("4.201", "High-Throughput JPEG 2000 (Lossless Only)", False, "image/jphc"),
        ("4.202", "High-Throughput JPEG 2000 with RPCL Options (Lossless Only)", False, "image/jphc"),
        ("4.203", "High-Throughput JPEG 2000", True, "image/jphc"),
        ("5", "RLE Lossless", False, "image/dicom-rle"),
        ("8.1", "Deflated Image Frame Compression", False, ""),
        ("1.98", "Encapsulated Uncompressed Explicit VR Little Endian", False, ""),
    )
    moving = (
        ("4.100", "MPEG2 Main Profile / Main Level", "video/mpeg2"),
        ("4.100.1", "Fragmentable MPEG2 Main Profile / Main Level", "video/mpeg2"),
        ("4.101", "MPEG2 Main Profile / High Level", "video/mpeg2"),
        ("4.101.1", "Fragmentable MPEG2 Main Profile / High Level", "video/mpeg2"),
        ("4.102", "MPEG-4 AVC/H.264 High Profile / Level 4.1", "video/mp4"),
        ("4.102.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1", "video/mp4"),
        ("4.103", "MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1", "video/mp4"),
        ("4.103.1", "Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1", "video/mp4"),
        ("4.104", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video", "video/mp4"),
        ("4.104.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video", "video/mp4"),
        ("4.105", "MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video", "video/mp4"),
        ("4.105.1", "Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video", "video/mp4"),
        ("4.106", "MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2", "video/mp4"),
        ("4.106.1", "Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2", "video/mp4"),
        ("4.107", "HEVC/H.265 Main Profile / Level 5.1", "video/mp4"),
        ("4.108", "HEVC/H.265 Main 10 Profile / Level 5.1", "video/mp4"),
    )
    root = IMPLICIT_LITTLE_ENDIAN
    return tuple(
        TransferSyntax(f"{root}.{tail}", name, encapsulated=True, lossy=lossy, media_type=media_type)
        for tail, name, lossy, media_type in still
    ) + tuple(
        TransferSyntax(f"{root}.{tail}", name, encapsulated=True, lossy=True, video=True, media_type=media_type)
        for tail, name, media_type in moving
    )


ALL: Final[tuple[TransferSyntax, ...]] = _native() + _encapsulated()
_BY_UID: Final = {syntax.uid: syntax for syntax in ALL}


def lookup(uid: str) -> TransferSyntax | None:
    """Finds a transfer syntax by its UID; None when we do not know it."""
    return _BY_UID.get(uid)
