"""Slices by pydicom and its decoders."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.utils import pixel_array
from pydicom.uid import JPEGLSLossless, JPEGLSNearLossless

from services.inference.errors import NotAVolume, PixelsUnreadable, Refusal
from services.inference.model import Slice

_PLUGINS = {str(JPEGLSLossless): "pyjpegls", str(JPEGLSNearLossless): "pyjpegls"}
"""The plugin for a syntax where the one that pydicom prefers is three times slower and holds the interpreter's lock."""
_INT16 = np.iinfo(np.int16)
_HEADER = [
    "ImageOrientationPatient", "ImagePositionPatient", "Modality", "NumberOfFrames", "PixelSpacing", "Rows", "Columns",
    "RescaleIntercept", "RescaleSlope", "RescaleType", "SamplesPerPixel", "SeriesInstanceUID",
]  # fmt: skip


class PydicomSlices:
    """A `services.inference.ports.SliceReader`."""

    def header(self, data: bytes) -> Slice:
        """The place of the slice; see the port."""
        ds = _parse(data, pixels=False)
        if (frames := _number(ds, "NumberOfFrames") or 1) != 1:
            raise NotAVolume(Refusal.MULTI_FRAME, f"an instance holds {frames:.0f} frames, and one is due")
        rows, columns = _number(ds, "Rows"), _number(ds, "Columns")
        if not rows or not columns:
            raise NotAVolume(Refusal.NO_PIXELS, "an instance holds no image")
        if _number(ds, "SamplesPerPixel") != 1:
            raise NotAVolume(Refusal.COLOUR, "an instance is in colour")
        _rescale(ds)
        orientation, position = _numbers(ds, "ImageOrientationPatient", 6), _numbers(ds, "ImagePositionPatient", 3)
        pixel_spacing = _numbers(ds, "PixelSpacing", 2)
        if min(pixel_spacing) <= 0:
            raise NotAVolume(Refusal.NO_GEOMETRY, "an instance has a Pixel Spacing that cannot be")
        return Slice(
            series_instance_uid=str(ds.get("SeriesInstanceUID", "")),
            rows=int(rows),
            columns=int(columns),
            row_cosines=(orientation[0], orientation[1], orientation[2]),
            column_cosines=(orientation[3], orientation[4], orientation[5]),
            position=(position[0], position[1], position[2]),
            pixel_spacing=(pixel_spacing[0], pixel_spacing[1]),
        )

    def decode(self, data: bytes, out: NDArray[np.int16]) -> None:
        """Hounsfield units into `out`; see the port."""
        ds = _parse(data, pixels=True)
        slope, intercept = _rescale(ds)
        syntax = str(ds.file_meta.get("TransferSyntaxUID", "unknown"))
        try:
            stored = pixel_array(ds, decoding_plugin=_PLUGINS.get(syntax, ""))
        except Exception:  # noqa: BLE001 - pydicom and its plugins raise whatever they like; it is one thing to us
            raise PixelsUnreadable(syntax) from None
        if stored.shape != out.shape:
            raise PixelsUnreadable(syntax)
        if slope == 1 and intercept.is_integer():
            values = np.add(stored, int(intercept), dtype=np.int32)
        else:
            values = np.rint(stored * slope + intercept)
        np.clip(values, _INT16.min, _INT16.max, out=out, casting="unsafe")


def _parse(data: bytes, *, pixels: bool) -> Dataset:
    try:
        return pydicom.dcmread(
            BytesIO(data), stop_before_pixels=not pixels, specific_tags=None if pixels else list(_HEADER)
        )
    except Exception:  # noqa: BLE001 - as above; `anonymise` wrote the file, so it was cut short
        raise NotAVolume(Refusal.NO_GEOMETRY, "an instance cannot be read") from None


def _rescale(ds: Dataset) -> tuple[float, float]:
    """Slope and intercept (PS3.3 C.11.1), which in CT lead to Hounsfield units (PS3.3 C.8.2.1.1.5)."""
    slope, intercept = _number(ds, "RescaleSlope"), _number(ds, "RescaleIntercept")
    if slope is None or intercept is None:
        raise NotAVolume(Refusal.NO_RESCALE, "an instance does not say how its values become Hounsfield units")
    kind = str(ds.get("RescaleType") or "HU")
    if ds.get("Modality") != "CT" or kind != "HU":
        raise NotAVolume(Refusal.NOT_HOUNSFIELD, "the values of an instance are not Hounsfield units")
    return slope, intercept


def _number(ds: Dataset, keyword: str) -> float | None:
    return _float(ds.get(keyword))


def _numbers(ds: Dataset, keyword: str, count: int) -> list[float]:
    values = ds.get(keyword)
    found = [_float(value) for value in values] if isinstance(values, (list, pydicom.multival.MultiValue)) else []
    numbers = [value for value in found if value is not None]
    if len(numbers) != count or len(found) != count:
        raise NotAVolume(Refusal.NO_GEOMETRY, f"an instance has no {keyword} of {count} numbers")
    return numbers


def _float(value: Any) -> float | None:
    """`value` as a finite number, or None: headers hold what they like."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None
