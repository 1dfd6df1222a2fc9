"""Decoding with pydicom and its codecs, in a thread: a frame, or a whole file, into Explicit VR Little Endian."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, ExplicitVRLittleEndian

from services.archive.errors import NotDecodable
from services.dicom import dicom_json
from services.dicom.attributes import tag_of
from services.dicom.frames import swapped
from services.dicom.values import WORD_BYTES

_DESCRIPTION: Final = {
    "rows": "Rows",
    "columns": "Columns",
    "samples_per_pixel": "SamplesPerPixel",
    "bits_allocated": "BitsAllocated",
    "bits_stored": "BitsStored",
    "pixel_representation": "PixelRepresentation",
    "photometric_interpretation": "PhotometricInterpretation",
}
_CODEC_FAULTS: Final = (AttributeError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError)
"""What pydicom and its plugins raise for pixels that they do not understand."""


class PydicomDecoder:
    """`PixelDecoder` by pydicom."""

    async def frame(self, encoded: bytes, transfer_syntax_uid: str, metadata: bytes) -> bytes:
        """See `PixelDecoder.frame`."""
        return await asyncio.to_thread(_frame, encoded, transfer_syntax_uid, metadata)

    async def instance(self, data: bytes) -> bytes:
        """See `PixelDecoder.instance`."""
        return await asyncio.to_thread(_instance, data)


def _frame(encoded: bytes, transfer_syntax_uid: str, metadata: bytes) -> bytes:
    attributes = dicom_json.loads(metadata)
    described: dict[str, Any] = {
        option: next(iter(attributes.get(tag_of(keyword) or "", {}).get("Value", ())), None)
        for option, keyword in _DESCRIPTION.items()
    }
    planes = next(iter(attributes.get("00280006", {}).get("Value", ())), 0)
    options = {name: value for name, value in described.items() if value is not None}
    try:
        buffer, decoded = get_decoder(UID(transfer_syntax_uid)).as_buffer(
            pydicom.encaps.encapsulate([encoded]),
            index=0,
            raw=True,
            number_of_frames=1,
            planar_configuration=planes,
            pixel_keyword="PixelData",
            **options,
        )
    except _CODEC_FAULTS:
        raise NotDecodable from None
    samples = described["samples_per_pixel"] or 1
    made = int(decoded.get("planar_configuration") or 0)
    return bytes(buffer) if samples == 1 or made == planes else _rearranged(bytes(buffer), described, made)


def _rearranged(buffer: bytes, described: dict[str, Any], made: int) -> bytes:
    """Change between colour by pixel (0) and colour by plane (1), so that it is as the metadata says."""
    samples, rows, columns = (described[name] for name in ("samples_per_pixel", "rows", "columns"))
    values = np.frombuffer(buffer, f"u{described['bits_allocated'] // 8}")
    if made == 0:
        return values.reshape(rows, columns, samples).transpose(2, 0, 1).tobytes()
    return values.reshape(samples, rows, columns).transpose(1, 2, 0).tobytes()


def _instance(data: bytes) -> bytes:
    try:
        ds = pydicom.dcmread(io.BytesIO(data))
        syntax = ds.file_meta.TransferSyntaxUID
        if syntax.is_compressed and "PixelData" in ds:
            ds.decompress(as_rgb=False, generate_instance_uid=False)
        elif not syntax.is_little_endian:
            _swap(ds)
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        made = io.BytesIO()
        # The byte order of what is not text has been settled above, which `save_as` cannot know.
        pydicom.dcmwrite(made, ds, implicit_vr=False, little_endian=True, force_encoding=True)
    except _CODEC_FAULTS:
        raise NotDecodable from None
    return made.getvalue()


def _swap(ds: Dataset) -> None:
    """Turn the words of binary values, which pydicom writes as they are; all others it has read as numbers by now."""
    for element in _all(ds):
        if element.VR in WORD_BYTES and element.value:
            pixels = int(ds.get("BitsAllocated", 16)) // 8 if element.keyword == "PixelData" else 0
            element.value = swapped(bytes(element.value), max(WORD_BYTES[element.VR], pixels))


def _all(ds: Dataset) -> Iterator[Any]:
    for element in ds:
        if element.VR == "SQ":
            for item in element.value:
                yield from _all(item)
        else:
            yield element
