"""The data set around pixels that are transcoded: written anew in the target's encoding, and true of the new pixels."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from services.dicom.frames import swapped
from services.dicom.part10 import file_header
from services.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN, TransferSyntax, lookup
from services.dicom.values import WORD_BYTES
from services.pixels.errors import Undecodable

_PIXELS: Final = 0x7FE00000
_BEHIND: Final = 0x7FE00011
_PADDING: Final = 0xFFFCFFFC
_JPEG: Final = "ISO_10918_1"
_FAULTS: Final = (AttributeError, KeyError, NotImplementedError, OSError, TypeError, ValueError)
"""What pydicom raises for elements that it cannot read, or cannot write in another encoding."""


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a data set.

    Attributes:
        stored: its transfer syntax.
        target: the one that it gets.
        photometric: Photometric Interpretation of the new pixels; "" leaves it.
        by_pixel: the new pixels are colour by pixel.
        was_lossy: the pixels that it had had lost something (PS3.3 C.7.6.1.1.5).
        instance: the UID of the new image when the change loses something; "" when it does not (PS3.3 C.7.6.1.1.2).
        ratio: to which the new image is compressed; it counts with an `instance` only.
    """

    stored: str
    target: str
    photometric: str = ""
    by_pixel: bool = False
    was_lossy: bool = False
    instance: str = ""
    ratio: float = 1.0


def rewritten(before: bytes, behind: bytes, change: Change) -> tuple[bytes, bytes]:
    """Write a data set's elements before and behind Pixel Data anew.

    Args:
        before: as stored, without file meta information.
        behind: likewise.
        change: what to make of them.

    Returns:
        The same two, in the encoding of the target: neither deflated, nor with file meta information.

    Raises:
        Undecodable: they cannot be read or written.
    """
    stored, target = lookup(change.stored), lookup(change.target)
    if stored is None or target is None:
        raise Undecodable
    # The reader is told of the encoding only: it would inflate, and it does not know every transfer syntax.
    readable = EXPLICIT_LITTLE_ENDIAN if stored.deflated or stored.encapsulated else change.stored
    meta = file_header(transfer_syntax_uid=readable, sop_class_uid="1.2", sop_instance_uid="1.2")
    try:
        # One data set without its pixels: elements follow one another with nothing in between (PS3.5 7.1).
        ds = dcmread(io.BytesIO(meta + before + behind))
        if stored.big_endian:
            _swap(ds)
        elif target.explicit and any(ds.get_item(tag).VR is None for tag in tuple(ds.keys())):
            _look_up(ds)
        _amend(ds, change)
        return _written(ds[:_PIXELS], target), _written(ds[_BEHIND:_PADDING], target)
    except _FAULTS:
        raise Undecodable from None


def _amend(ds: Dataset, change: Change) -> None:
    if change.photometric:
        ds.PhotometricInterpretation = change.photometric
    if change.by_pixel:
        ds.PlanarConfiguration = 0
    if change.was_lossy and not ds.get("LossyImageCompression"):
        ds.LossyImageCompression = "01"
    if change.instance:
        _derive(ds, change)


def _derive(ds: Dataset, change: Change) -> None:
    """Say that this is another image, how it was made and of which one (PS3.3 C.7.6.1.1.5, C.12.4.1)."""
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    source.PurposeOfReferenceCodeSequence = [_code("121320", "Uncompressed predecessor")]
    ds.SOPInstanceUID = change.instance
    ds.SourceImageSequence = [*(ds.get("SourceImageSequence") or ()), source]
    ds.DerivationCodeSequence = [*(ds.get("DerivationCodeSequence") or ()), _code("113040", "Lossy Compression")]
    ds.ImageType = ["DERIVED", *list(ds.get("ImageType") or ("", "PRIMARY"))[1:]]
    ratios, methods = ds.get("LossyImageCompressionRatio"), ds.get("LossyImageCompressionMethod")
    ds.LossyImageCompression = "01"
    ds.LossyImageCompressionRatio = [*_values(ratios), f"{change.ratio:.4g}"]
    ds.LossyImageCompressionMethod = [*_values(methods), _JPEG]


def _values(value: Any) -> list[Any]:
    if value in (None, ""):
        return []
    return [value] if isinstance(value, str | float) else list(value)


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "DCM", meaning
    return code


def _look_up(ds: Dataset) -> None:
    """Have pydicom find the VRs, also where the data set is implicit though its transfer syntax says otherwise."""
    for _ in _all(ds):
        pass


def _swap(ds: Dataset) -> None:
    """Turn the words of binary values, which pydicom writes as they are; all others it has read as numbers by now."""
    for element in _all(ds):
        if element.VR in WORD_BYTES and element.value:
            element.value = swapped(bytes(element.value), WORD_BYTES[element.VR])


def _all(ds: Dataset) -> Iterator[Any]:
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield from _all(item)
        else:
            yield element


def _written(ds: Dataset, target: TransferSyntax) -> bytes:
    made = DicomBytesIO()
    made.is_implicit_VR, made.is_little_endian = not target.explicit, True
    write_dataset(made, ds)
    return bytes(made.getvalue())
