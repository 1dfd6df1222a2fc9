"""Label maps: small pieces dropped, the largest kept, what is in them measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage


def tidy(labels: NDArray[Any], largest: Sequence[int], minimum_voxels: float) -> None:
    """Keeps in place only the largest piece of the labels in `largest`, and no piece below `minimum_voxels`."""
    values = np.unique(labels)
    for value in values[values > 0]:
        keep_one = int(value) in largest
        if not keep_one and minimum_voxels <= 1:
            continue
        (box,) = ndimage.find_objects((labels == value).view(np.uint8))
        inside = labels[box]
        pieces, _ = ndimage.label(inside == value)
        sizes = np.bincount(pieces.ravel())
        sizes[0] = 0
        drop = sizes < minimum_voxels
        if keep_one:
            drop |= np.arange(len(sizes)) != sizes.argmax()
        drop[0] = False
        inside[drop[pieces]] = 0


def measure(
    labels: NDArray[Any], volume: NDArray[Any], spacing: NDArray[np.float64], values: Sequence[int], what: Sequence[str]
) -> NDArray[np.float32]:
    """One row a label, one column a quantity, on the source grid; NaN where there is nothing to measure."""
    length = max(values, default=0) + 1
    count, total, squares = (np.zeros(length) for _ in range(3))
    low, high = np.full(length, np.inf), np.full(length, -np.inf)
    for plane, grey in zip(labels, volume, strict=True):  # plane by plane: what is made of a plane is 8 times as large
        inside = plane > 0
        found = plane[inside]
        if found.size == 0:
            continue
        numbers = (grey if grey.ndim == 2 else grey.mean(axis=-1))[inside].astype(np.float64)
        count += np.bincount(found, minlength=length)
        total += np.bincount(found, weights=numbers, minlength=length)
        squares += np.bincount(found, weights=numbers**2, minlength=length)
        np.minimum.at(low, found, numbers)
        np.maximum.at(high, found, numbers)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = total / count
        columns = {
            "voxels": count,
            "volume-ml": count * np.prod(spacing) / 1000,
            "area-mm2": count * np.prod(spacing[1:]),
            "mean": mean,
            "standard-deviation": np.sqrt(np.maximum(squares / count - mean**2, 0)),
            "minimum": np.where(count > 0, low, np.nan),
            "maximum": np.where(count > 0, high, np.nan),
        }
    return np.array([[columns[name][value] for name in what] for value in values], np.float32).reshape(
        len(values), len(what)
    )
