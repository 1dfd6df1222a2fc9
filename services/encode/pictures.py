"""A plane of the source as a picture with what the model found on it, and burned into it that nobody verified it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from services.encode.findings import boxes_of, extent, mask_of
from services.encode.result import InferredResult

BURNED = "AI, unverified"
_MIN_WIDTH = 512
_BOX_COLOUR = (255, 220, 0)
_FILL = 0.3
Pixels = NDArray[np.uint8]


def grey(values: NDArray[np.float64], window: tuple[float, float] | None, *, inverted: bool) -> Pixels:
    """Values as 8-bit grey in RGB, by a window (centre, width; PS3.3 C.11.2.1.2), else by their own range."""
    if window is None:
        low, high = (float(part) for part in np.percentile(values, (1, 99)))
    else:
        low, high = window[0] - window[1] / 2, window[0] + window[1] / 2
    part = np.clip((values - low) / max(high - low, 1e-6), 0, 1)
    shown = np.round(255 * (1 - part if inverted else part)).astype(np.uint8)
    return np.repeat(shown[..., None], 3, axis=2)


def key_picture(result: InferredResult, plane: int, base: Pixels, caption: Sequence[str] = ()) -> Pixels:
    """`base` with the labels, boxes and the map of a plane, enlarged where small, and marked."""
    scale = max(1, -(-_MIN_WIDTH // base.shape[1]))
    size = (base.shape[1] * scale, base.shape[0] * scale)
    picture: Pixels = np.array(cv2.resize(base, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    if result.arrays.map is not None:
        picture = _heated(picture, result.arrays.map[plane], extent(result.arrays.map))
    for label in result.card.labels:
        mask = mask_of(result, label, plane)
        if mask is None or not mask.any():
            continue
        large = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        inside = large > 0
        picture[inside] = ((1 - _FILL) * picture[inside] + _FILL * np.array(label.colour)).astype(np.uint8)
        edges, _ = cv2.findContours(large, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, edges, -1, label.colour, 1)
    for box in boxes_of(result):
        if plane in box.planes:
            # Index coordinates have voxel centres at integers; a picture's pixel edges are there after half a voxel.
            top, left = (round((value + 0.5) * scale) for value in box.first[1:])
            bottom, right = (round((value + 0.5) * scale) - 1 for value in box.last[1:])
            cv2.rectangle(picture, (left, top), (right, bottom), _BOX_COLOUR, 2)
            _write(picture, f"{box.label.name} {box.score:.0%}", left, max(top - 6, 14))
    for number, line in enumerate((BURNED, *caption)):
        _write(picture, line, 8, 22 + 20 * number)
    return picture


def _heated(picture: Pixels, values: NDArray[np.float32], reach: tuple[float, float] | None) -> Pixels:
    """The picture with a map over it: the higher, the redder; below the middle of the map's range, nothing.

    Args:
        picture: the plane.
        values: of the map on this plane.
        reach: the smallest and the largest value of the whole map, so that a colour says the same on each picture.
    """
    there = np.isfinite(values)
    if reach is None or not there.any():
        return picture
    low, high = reach
    scaled = (values - low) / (high - low) if high > low else np.ones_like(values)
    part = np.where(there, scaled, 0).astype(np.float32)
    large = np.asarray(cv2.resize(part, (picture.shape[1], picture.shape[0]), interpolation=cv2.INTER_LINEAR))
    heat = cv2.cvtColor(cv2.applyColorMap(np.round(255 * large).astype(np.uint8), cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
    weight = 0.5 * np.clip(2 * large - 1, 0, 1)[..., None]
    return np.asarray(np.round(picture * (1 - weight) + heat * weight), np.uint8)


def _write(picture: Pixels, text: str, x: int, y: int) -> None:
    plain = text.encode("ascii", "replace").decode()
    (width, height), _ = cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, 0.5, 1)
    cv2.rectangle(picture, (x - 3, y - height - 4), (x + width + 3, y + 5), (0, 0, 0), cv2.FILLED)
    cv2.putText(picture, plain, (x, y), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
