"""The body on a coarse CT grid, the air within it, and the shapes that morphology works with.

Axes are (superior, posterior, left), HU are float32. Copied between model packages like `grid.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Mask = NDArray[np.bool_]

LUNG_HU = -400
"""Half way between aerated lung and soft tissue: the border."""

IN_PLANE = ndimage.generate_binary_structure(3, 1) & np.array([0, 1, 0], bool)[:, None, None]
"""The four neighbours within a slice."""


def ball(radius_mm: float, spacing: tuple[float, float, float]) -> Mask:
    """A ball as structuring element, at least the voxel itself."""
    reach = [int(radius_mm / step + 1e-6) for step in spacing]
    axes = np.ogrid[tuple(slice(-r, r + 1) for r in reach)]
    return np.asarray(sum((a * s) ** 2 for a, s in zip(axes, spacing, strict=True)) <= radius_mm**2 + 1e-6)


def bounds(mask: Mask) -> tuple[slice, slice, slice]:
    """The smallest box around what is set in `mask`, which is not empty."""
    box: tuple[slice, slice, slice] = ndimage.find_objects(mask.view(np.uint8))[0]
    return box


def counts(pieces: NDArray[np.int32], length: int, weights: NDArray[Any] | None = None) -> NDArray[Any]:
    """`np.bincount`, plane by plane: it turns what it counts, and what that weighs, into numbers of 64 bits."""
    total: NDArray[Any] = np.zeros(length, np.int64 if weights is None else np.float64)
    for number, plane in enumerate(pieces):
        total += np.bincount(plane.ravel(), None if weights is None else weights[number].ravel(), length)
    return total


def body_and_air(hu: NDArray[np.float32]) -> tuple[Mask, Mask]:
    """The body with its holes filled, and all air that is enclosed within a slice.

    The air may also be that inside the table; it is not part of the body.
    """
    air = hu < LUNG_HU
    enclosed = filled(~air, IN_PLANE) & air
    # Table, cables and blankets are thin: the body is the largest thing left when shells are worn away.
    things, count = ndimage.label(ndimage.binary_erosion(~air, IN_PLANE, iterations=2))
    if count == 0:
        return np.zeros_like(air), np.zeros_like(air)
    sizes = counts(things, count + 1)
    sizes[0] = 0
    body = ndimage.binary_dilation(things == sizes.argmax(), IN_PLANE, iterations=2)
    return filled(body, IN_PLANE), enclosed


def filled(mask: Mask, structure: Mask | None = None) -> Mask:
    """`mask` with its holes filled; with `IN_PLANE` as structure, slice by slice."""
    gaps, count = ndimage.label(~mask, structure=structure)
    is_open = np.zeros(count + 1, bool)
    for axis in range(0 if structure is None else 1, 3):
        for end in (0, -1):
            is_open[np.unique(gaps.take(end, axis))] = True
    is_open[0] = False
    filled_mask: NDArray[Any] = ~is_open[gaps]
    return filled_mask
