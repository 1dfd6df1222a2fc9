"""From stored values to what a card asks for: modality LUT, VOI LUT, colour (PS3.3 C.11.1, C.11.2, C.7.6.3)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut, apply_modality_lut, apply_voi

from services.contracts.tensors import Units
from services.inference.errors import NotAVolume, Refusal

_INT16 = np.iinfo(np.int16)
_SUV_BY_WEIGHT = "GML"


def check_units(ds: Dataset, frame: int, units: Units) -> None:
    """Whether the values of a frame of a volume can become `units`.

    Raises:
        NotAVolume: they cannot; the reason says what is missing.
    """
    match units:
        case Units.HU:
            _hounsfield(ds, frame)
        case Units.SUV:
            if ds.get("Units") != _SUV_BY_WEIGHT or _rescale(ds, frame) is None:
                raise NotAVolume(Refusal.NOT_SUV, "its values are not standardised uptake values (Units GML)")
        case Units.STORED | Units.DISPLAY | Units.RGB:
            return


def convert(stored: NDArray[Any], ds: Dataset, frame: int, units: Units, out: NDArray[Any]) -> None:
    """Writes the decoded frame `stored` to `out` in `units`."""
    match units:
        case Units.HU:
            slope, intercept = _hounsfield(ds, frame)
            if slope == 1 and intercept.is_integer():
                values = np.add(stored, int(intercept), dtype=np.int32)
            else:
                values = np.rint(stored * slope + intercept)
            np.clip(values, _INT16.min, _INT16.max, out=out, casting="unsafe")
        case Units.STORED | Units.SUV:
            out[...] = _modality(_upright(stored, ds), ds, frame)
        case Units.DISPLAY:
            out[...] = _displayed(stored, ds, frame)
        case Units.RGB:
            colours = apply_color_lut(stored, ds) if ds.get("PhotometricInterpretation") == "PALETTE COLOR" else stored
            out[...] = colours if colours.dtype == np.uint8 else colours >> (8 * (colours.dtype.itemsize - 1))


def _hounsfield(ds: Dataset, frame: int) -> tuple[float, float]:
    """Slope and intercept, which in CT lead to Hounsfield units (PS3.3 C.8.2.1.1.5, C.8.15.3.10)."""
    found = _rescale(ds, frame)
    if found is None:
        raise NotAVolume(Refusal.NO_RESCALE, "an instance does not say how its values become Hounsfield units")
    kind = str(group(ds, frame, "PixelValueTransformationSequence").get("RescaleType") or "HU")
    if ds.get("Modality") != "CT" or kind != "HU":
        raise NotAVolume(Refusal.NOT_HOUNSFIELD, "the values of an instance are not Hounsfield units")
    return found


def _rescale(ds: Dataset, frame: int) -> tuple[float, float] | None:
    source = group(ds, frame, "PixelValueTransformationSequence")
    slope, intercept = number(source, "RescaleSlope"), number(source, "RescaleIntercept")
    return None if slope is None or intercept is None else (slope, intercept)


def _modality(stored: NDArray[Any], ds: Dataset, frame: int) -> NDArray[Any]:
    """What the modality LUT, the table or the line, makes of it; without one, what it is."""
    if ds.get("ModalityLUTSequence"):
        return np.asarray(apply_modality_lut(stored, ds), np.float32)
    slope, intercept = _rescale(ds, frame) or (1.0, 0.0)
    return stored.astype(np.float32) * np.float32(slope) + np.float32(intercept)


def _upright(stored: NDArray[Any], ds: Dataset) -> NDArray[Any]:
    """Where small values are white (MONOCHROME1), turned round within the range of the stored bits."""
    if ds.get("PhotometricInterpretation") != "MONOCHROME1":
        return stored
    bits, signed = int(number(ds, "BitsStored") or 16), number(ds, "PixelRepresentation") == 1
    ends = (-(1 << (bits - 1)) + (1 << (bits - 1)) - 1) if signed else (1 << bits) - 1
    return ends - stored.astype(np.int32)


def _displayed(stored: NDArray[Any], ds: Dataset, frame: int) -> NDArray[Any]:
    """0 for black to 1 for white: the first window, else the first VOI LUT, else smallest to largest value."""
    values = _modality(stored, ds, frame)
    source = group(ds, frame, "FrameVOILUTSequence")
    centre, width = _first(source, "WindowCenter"), _first(source, "WindowWidth")
    if centre is not None and width is not None and width >= 1:
        # PS3.3 C.11.2.1.2.1, linear; a width of 1 is a threshold
        shown = (values - (centre - 0.5)) / max(width - 1, 1e-6) + 0.5
    elif ds.get("VOILUTSequence"):
        table = ds.VOILUTSequence[0]
        shown = apply_voi(values.astype(np.int32), ds) / np.float32((1 << int(table.LUTDescriptor[2])) - 1)
    else:
        low, high = float(values.min()), float(values.max())
        shown = (values - low) / (high - low or 1.0)
    shown = np.clip(shown, 0, 1)
    return 1 - shown if ds.get("PhotometricInterpretation") == "MONOCHROME1" else shown


def group(ds: Dataset, frame: int, sequence: str) -> Dataset:
    """Where a frame's attributes of a functional group are (PS3.3 C.7.6.16): its own, the shared, or the instance's."""
    per_frame = ds.get("PerFrameFunctionalGroupsSequence") or []
    shared = ds.get("SharedFunctionalGroupsSequence") or []
    for groups in (*per_frame[frame - 1 : frame], *shared[:1]):
        items = groups.get(sequence)
        if items:
            found: Dataset = items[0]
            return found
    return ds


def number(ds: Dataset, keyword: str) -> float | None:
    """A finite number, or None."""
    return finite(ds.get(keyword))


def finite(value: Any) -> float | None:
    """`value` as a finite number, or None: headers hold what they like."""
    try:
        converted = float(value)
    except (TypeError, ValueError):
        return None
    return converted if np.isfinite(converted) else None


def _first(ds: Dataset, keyword: str) -> float | None:
    value = ds.get(keyword)
    return finite(value[0] if isinstance(value, (list, tuple)) or (hasattr(value, "__getitem__") and value) else value)
