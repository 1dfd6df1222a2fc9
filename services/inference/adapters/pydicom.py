"""Headers and frames by pydicom and its decoders. What the numbers become is in `values.py`."""

from __future__ import annotations

from collections.abc import Mapping
from io import BytesIO
from typing import Any

import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import JPEGLSLossless, JPEGLSNearLossless

from services.contracts.tensors import Units
from services.inference.adapters import values
from services.inference.errors import NotAPicture, NotAVolume, PixelsUnreadable, Refusal
from services.inference.model import Picture, Slice

_PLUGINS = {str(JPEGLSLossless): "pyjpegls", str(JPEGLSNearLossless): "pyjpegls"}
"""The plugin for a syntax where the one that pydicom prefers is three times slower and holds the interpreter's lock."""
_HEADER = [
    "FrameOfReferenceUID", "ImageOrientationPatient", "ImagePositionPatient", "ImagerPixelSpacing",
    "InstanceNumber", "Modality", "ModalityLUTSequence", "NumberOfFrames", "PerFrameFunctionalGroupsSequence",
    "PhotometricInterpretation", "PixelSpacing", "Rows", "Columns", "RescaleIntercept", "RescaleSlope",
    "RescaleType", "SamplesPerPixel", "SequenceOfUltrasoundRegions", "SeriesInstanceUID",
    "SharedFunctionalGroupsSequence", "SOPClassUID", "Units",
]  # fmt: skip
_MOST_FRAMES = 100_000
_CENTIMETRES = 3
"""Physical Units X and Y Direction of an ultrasound region (PS3.3 C.8.5.5.1.1)."""


class PydicomReader:
    """A `services.inference.ports.Reader`."""

    def slices(self, data: bytes, units: Units) -> tuple[Slice, ...]:
        """The place of each frame; see the port."""
        ds = _parse(data, pixels=False)
        frames = _frames(ds)
        if ds.get("PerFrameFunctionalGroupsSequence") is None and frames != 1:
            # A loop, or an old multi-frame object (NM): its frames say nowhere where they lie.
            raise NotAVolume(
                Refusal.MULTI_FRAME, f"an instance holds {frames} frames and does not say where each one lies"
            )
        rows, columns = _size(ds)
        if values.number(ds, "SamplesPerPixel") != 1:
            raise NotAVolume(Refusal.COLOUR, "an instance is in colour")
        return tuple(_slice(ds, frame, rows, columns, units) for frame in range(1, frames + 1))

    def picture(self, data: bytes, units: Units) -> Picture:
        """What the header says of a projection or a loop; see the port."""
        ds = _parse(data, pixels=False)
        rows, columns = _size(ds)
        samples = values.number(ds, "SamplesPerPixel")
        is_colour = samples == 3 or ds.get("PhotometricInterpretation") == "PALETTE COLOR"
        if is_colour and units is not Units.RGB:
            raise NotAPicture(Refusal.COLOUR, "an instance is in colour, and the model takes grey values")
        if not is_colour and units is Units.RGB:
            raise NotAPicture(Refusal.GREY, "an instance has grey values, and the model takes colour")
        return Picture(
            series_instance_uid=str(ds.get("SeriesInstanceUID", "")),
            number=int(values.number(ds, "InstanceNumber") or 0),
            frames=_frames(ds),
            rows=rows,
            columns=columns,
            pixel_spacing=_picture_spacing(ds),
        )

    def decode(self, data: bytes, units: Units, out: Mapping[int, NDArray[Any]]) -> None:
        """Frames into their planes; see the port."""
        ds = _parse(data, pixels=True)
        syntax = str(ds.file_meta.get("TransferSyntaxUID", "unknown"))
        frames = _frames(ds)
        for frame, plane in out.items():
            try:
                index = frame - 1 if frames > 1 else None
                stored = pixel_array(ds, index=index, decoding_plugin=_PLUGINS.get(syntax, ""))
            except Exception:  # noqa: BLE001 - pydicom and its plugins raise whatever they like; it is one thing to us
                raise PixelsUnreadable(syntax) from None
            if stored.shape[:2] != plane.shape[:2]:
                raise PixelsUnreadable(syntax)
            values.convert(stored, ds, frame, units, plane)


def _parse(data: bytes, *, pixels: bool) -> Dataset:
    try:
        return pydicom.dcmread(
            BytesIO(data), stop_before_pixels=not pixels, specific_tags=None if pixels else list(_HEADER)
        )
    except Exception:  # noqa: BLE001 - as above; `anonymise` wrote the file, so it was cut short
        raise NotAVolume(Refusal.NO_GEOMETRY, "an instance cannot be read") from None


def _frames(ds: Dataset) -> int:
    frames = int(values.number(ds, "NumberOfFrames") or 1)
    if not 1 <= frames <= _MOST_FRAMES:
        raise NotAVolume(Refusal.NO_PIXELS, f"an instance says that it has {frames} frames")
    groups = ds.get("PerFrameFunctionalGroupsSequence")
    if groups is not None and len(groups) != frames:
        raise NotAVolume(Refusal.NO_GEOMETRY, "an instance does not describe each of its frames")
    return frames


def _size(ds: Dataset) -> tuple[int, int]:
    rows, columns = values.number(ds, "Rows"), values.number(ds, "Columns")
    if not rows or not columns:
        raise NotAVolume(Refusal.NO_PIXELS, "an instance holds no image")
    return int(rows), int(columns)


def _slice(ds: Dataset, frame: int, rows: int, columns: int, units: Units) -> Slice:
    values.check_units(ds, frame, units)
    measures = values.group(ds, frame, "PixelMeasuresSequence")
    orientation = _numbers(values.group(ds, frame, "PlaneOrientationSequence"), "ImageOrientationPatient", 6)
    position = _numbers(values.group(ds, frame, "PlanePositionSequence"), "ImagePositionPatient", 3)
    pixel_spacing = _numbers(measures, "PixelSpacing", 2)
    if min(pixel_spacing) <= 0:
        raise NotAVolume(Refusal.NO_GEOMETRY, "an instance has a Pixel Spacing that cannot be")
    return Slice(
        series_instance_uid=str(ds.get("SeriesInstanceUID", "")),
        rows=rows,
        columns=columns,
        row_cosines=(orientation[0], orientation[1], orientation[2]),
        column_cosines=(orientation[3], orientation[4], orientation[5]),
        position=(position[0], position[1], position[2]),
        pixel_spacing=(pixel_spacing[0], pixel_spacing[1]),
        frame=frame,
        frame_of_reference=str(ds.get("FrameOfReferenceUID") or ""),
    )


def _picture_spacing(ds: Dataset) -> tuple[float, float] | None:
    """mm between rows and columns: Pixel Spacing, at the detector (PS3.3 C.8.11.2), or an ultrasound region's."""
    for source in (values.group(ds, 1, "PixelMeasuresSequence"), ds):
        for keyword in ("PixelSpacing", "ImagerPixelSpacing"):
            found = _maybe(source, keyword, 2)
            if found and min(found) > 0:
                return found[0], found[1]
    regions = list(ds.get("SequenceOfUltrasoundRegions") or [])
    steps = {
        (values.number(one, "PhysicalDeltaY"), values.number(one, "PhysicalDeltaX"))
        for one in regions
        if {values.number(one, f"PhysicalUnits{axis}Direction") for axis in "XY"} == {_CENTIMETRES}
    }
    if len(regions) != 1 or len(steps) != 1:  # two regions: which of them a pixel is in decides
        return None
    ((down, across),) = steps
    return (abs(down) * 10, abs(across) * 10) if down and across else None


def _maybe(ds: Dataset, keyword: str, count: int) -> list[float] | None:
    try:
        return _numbers(ds, keyword, count)
    except NotAVolume:
        return None


def _numbers(ds: Dataset, keyword: str, count: int) -> list[float]:
    listed = ds.get(keyword)
    found = [values.finite(one) for one in listed] if isinstance(listed, (list, pydicom.multival.MultiValue)) else []
    numbers = [value for value in found if value is not None]
    if len(numbers) != count or len(found) != count:
        raise NotAVolume(Refusal.NO_GEOMETRY, f"an instance has no {keyword} of {count} numbers")
    return numbers
