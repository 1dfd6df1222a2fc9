"""Left and right lung on a chest CT, by deterministic image analysis.

Everything runs on a coarse copy of the volume along the patient's axes; only the border is decided again
on the full grid. Steps: air inside the body; trachea and main bronchi out; gas bubbles out; left from right;
vessels and small nodules closed; border at full resolution.
"""

from __future__ import annotations

import numpy as np
from airway import find_trachea, grow_airway, main_airway
from body import LUNG_HU, Mask, body_and_air, bounds, counts, filled
from grid import AIR_HU, Coarse, PatientAxes
from numpy.typing import NDArray
from scipy import ndimage

LEFT, RIGHT = 1, 2
SIDES = (LEFT, RIGHT)
BUBBLE = 3
"""Air that is not lung, while pieces are told apart; never in a result."""

ANY_NEIGHBOUR = np.ones((3, 3, 3), bool)

COARSE_MM = 1.8
GAS_HU = -930
GAS_SHARE = 0.95
"""A bubble of gas is darker than GAS_HU nearly everywhere inside; even an emphysematous lung is not."""
SMALLEST_LUNG_ML = 40.0
SMALLEST_PART = 0.05
"""Parts of a lung smaller than this share of its largest part are dropped."""
BALANCE = 0.15
"""The smaller lung has at least this share of the larger one, else the two are taken to be still joined."""
CLOSING_MM = 7.0
SLAB = 16
"""So many planes are in hand at a time where what is made on the way is large."""
LADDER = ((-400, 1), (-500, 1), (-600, 1), (-700, 1), (-700, 2), (-750, 2), (-750, 3), (-750, 4))
"""Threshold and erosions by which lungs that touch come apart, gentlest first."""
EMPHYSEMA_HU = -950


def segment(hu: NDArray[np.int16], spacing: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Labels the lungs.

    Args:
        hu: [Z, Y, X] in Hounsfield units.
        spacing: (slice, row, column) in mm.
        direction: 3x3, columns are the LPS unit vectors of the column, row and slice index.

    Returns:
        uint8 [Z, Y, X]: 0 = neither, 1 = left lung, 2 = right lung.
    """
    axes = PatientAxes.of(direction)
    fine = axes.view(hu)
    coarse = Coarse.of(fine, axes.spacing(spacing), COARSE_MM)
    labels = _label(coarse)
    return axes.back(_refine(fine, coarse, labels)) if labels is not None else np.zeros(hu.shape, np.uint8)


def measure(hu: NDArray[np.int16], labels: NDArray[np.uint8], spacing: NDArray[np.float64]) -> NDArray[np.float32]:
    """Volume (mL), mean attenuation (HU) and low-attenuation fraction (%) of the left and the right lung.

    Returns:
        float32 [2, 3]; a lung that was not found has volume 0 and NaN for the rest.
    """
    rows = np.full((len(SIDES), 3), np.nan, np.float32)
    voxel_ml = float(np.prod(spacing)) / 1000
    for row, side in enumerate(SIDES):
        values = np.maximum(hu[labels == side], AIR_HU)
        rows[row, 0] = values.size * voxel_ml
        if values.size:
            rows[row, 1] = values.mean(dtype=np.float64)
            rows[row, 2] = 100 * np.count_nonzero(values < EMPHYSEMA_HU) / values.size
    return rows


def _label(coarse: Coarse) -> NDArray[np.uint8] | None:
    """Labels on the coarse grid, or None where there is no lung."""
    body, air = body_and_air(coarse.hu)
    if not air.any():
        return None
    trachea = find_trachea(air, body, coarse.spacing)
    parenchyma = air
    tubes = None
    if trachea is not None:
        airway = grow_airway(coarse.hu, trachea, coarse.spacing)
        tubes = main_airway(airway, coarse.spacing)
        parenchyma = air & ~tubes
    sides = _separate(coarse, parenchyma, body)
    if sides is None:
        return None
    labels = np.zeros(coarse.hu.shape, np.uint8)
    for side in SIDES:
        _close(sides == side, side, labels, coarse.spacing)
    if tubes is not None:
        labels[tubes] = 0
    return labels


def _separate(coarse: Coarse, parenchyma: Mask, body: Mask) -> NDArray[np.uint8] | None:
    """Left and right lung before closing; None where no piece of air looks like a lung."""
    if not parenchyma.any():
        return None
    box = bounds(parenchyma)
    hu, inside = coarse.hu[box], parenchyma[box]
    voxel_ml = float(np.prod(coarse.spacing)) / 1000
    columns = np.flatnonzero(body.any(axis=(0, 1)))
    middle = float(columns.mean()) - box[2].start
    first: NDArray[np.uint8] | None = None
    marks: NDArray[np.uint8] | None = None
    for limit, erosions in LADDER:
        core = ndimage.binary_erosion(inside & (hu < limit), iterations=erosions)
        marks = _mark(hu, core, body[box], voxel_ml, middle)
        first = marks if first is None else first
        if marks is not None and _balanced(counts(marks, BUBBLE + 1)[1:3]):
            break
    else:
        marks = _cut(first, middle, 0.1 * len(columns)) if first is not None else None
    if marks is None:
        return None
    sides = np.zeros(parenchyma.shape, np.uint8)
    sides[box] = _spread(marks, inside)
    _drop_parts(sides[box])
    return sides


def _balanced(sizes: NDArray[np.int64]) -> bool:
    return bool(sizes.min() >= BALANCE * max(int(sizes.max()), 1))


def _cut(marks: NDArray[np.uint8], middle: float, reach: float) -> NDArray[np.uint8]:
    """Cuts what never came apart at the sagittal plane near the middle that holds the least of it.

    Where nearly all lies on one side there is only one lung, and nothing is cut.
    """
    lung = np.isin(marks, SIDES)
    column = lung.sum(axis=(0, 1))
    if not _balanced(np.array([column[: int(middle)].sum(), column[int(middle) :].sum()])):
        return marks
    low = max(0, int(middle - reach))
    plane = low + int(np.argmin(column[low : int(middle + reach) + 1]))
    cut = np.where(lung & (np.arange(lung.shape[2]) >= plane), LEFT, marks)
    return np.where(lung & (np.arange(lung.shape[2]) < plane), RIGHT, cut).astype(np.uint8)


def _mark(hu: NDArray[np.float32], core: Mask, body: Mask, voxel_ml: float, middle: float) -> NDArray[np.uint8] | None:
    """Names the pieces of `core`: LEFT, RIGHT or BUBBLE (any air that is not lung)."""
    pieces, count = ndimage.label(core)
    if count == 0:
        return None
    sizes = counts(pieces, count + 1)
    dark, within = counts(pieces, count + 1, hu < GAS_HU), counts(pieces, count + 1, body)
    centres = counts(pieces, count + 1, np.broadcast_to(np.arange(hu.shape[2]), hu.shape))
    sizes[0] = 0
    lung = (sizes * voxel_ml >= SMALLEST_LUNG_ML / 4) & (dark < GAS_SHARE * sizes) & (within > 0.5 * sizes)
    if not lung.any() or sizes[lung].max() * voxel_ml < SMALLEST_LUNG_ML:
        return None
    centres = centres / np.maximum(sizes, 1)
    names = np.full(count + 1, BUBBLE, np.uint8)
    names[0] = 0
    names[lung & (centres >= middle)] = LEFT
    names[lung & (centres < middle)] = RIGHT
    return np.asarray(names[pieces])


def _spread(marks: NDArray[np.uint8], inside: Mask) -> NDArray[np.uint8]:
    """Gives every voxel of `inside` the name of its nearest mark within the same piece of air."""
    pieces, count = ndimage.label(inside, ANY_NEIGHBOUR)  # the recess beside the liver is thinner than a voxel
    named = np.zeros((count + 1, 4), bool)
    named[pieces[marks > 0], marks[marks > 0]] = True
    only = np.where(named.sum(axis=1) == 1, named.argmax(axis=1), 0).astype(np.uint8)
    sides: NDArray[np.uint8] = only[pieces]
    for piece in np.flatnonzero(named.sum(axis=1) > 1):
        box = bounds(pieces == piece)
        here = pieces[box] == piece
        sides[box][here] = _nearest(marks[box], here)
    sides[sides == BUBBLE] = 0
    return sides


def _nearest(marks: NDArray[np.uint8], here: Mask) -> NDArray[np.uint8]:
    """The name of the mark that is nearest to each voxel of `here`, of those in it."""
    apart = (marks == 0) | ~here
    index = ndimage.distance_transform_edt(apart, return_distances=False, return_indices=True)
    named: NDArray[np.uint8] = marks[tuple(axis[here] for axis in index)]
    return named


def _drop_parts(sides: NDArray[np.uint8]) -> None:
    """Drops what is not joined to the bulk of a lung."""
    for side in SIDES:
        parts, part_count = ndimage.label(sides == side, ANY_NEIGHBOUR)
        sizes = counts(parts, part_count + 1)
        sizes[0] = 0
        small = (sizes > 0) & (sizes < SMALLEST_PART * sizes.max())
        sides[small[parts]] = 0


def _close(lung: Mask, side: int, labels: NDArray[np.uint8], spacing: tuple[float, float, float]) -> None:
    """Writes one lung into `labels`, with vessels, small nodules and enclosed holes filled."""
    if not lung.any():
        return
    box = bounds(lung)
    pad = tuple(int(np.ceil(CLOSING_MM / step)) + 1 for step in spacing)
    tight = lung[box]
    # Room around it, so that the ball never leaves the array.
    room = np.pad(tight, tuple((p, p) for p in pad))
    closed = ~_near(~_near(room, spacing), spacing)
    closed |= room
    closed = closed[tuple(slice(p, -p) for p in pad)]
    closed = filled(closed)
    target = labels[box]
    target[closed & (target == 0)] = side


def _near(mask: Mask, spacing: tuple[float, float, float]) -> Mask:
    """What is within CLOSING_MM of `mask`. Slab by slab: a distance transform takes 60 bytes a voxel."""
    reach = int(np.ceil(CLOSING_MM / spacing[0]))
    near = np.zeros_like(mask)
    for start in range(0, len(mask), SLAB):
        low = max(0, start - reach)
        part = mask[low : start + SLAB + reach]
        if part.any():
            distances = ndimage.distance_transform_edt(~part, sampling=spacing)
            near[start : start + SLAB] = distances[start - low : start - low + SLAB] <= CLOSING_MM
    return near


def _refine(fine: NDArray[np.int16], coarse: Coarse, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Decides the border again on the full grid."""
    result = np.zeros(fine.shape, np.uint8)
    airy = coarse.hu < LUNG_HU
    for side in SIDES:
        lung = labels == side
        if not lung.any():
            continue
        outer = ndimage.binary_dilation(lung) & ((labels == 0) | lung)
        sure = ndimage.binary_erosion(lung, border_value=1) | (lung & ~airy)
        border = outer & ~sure
        box = bounds(outer)
        wide = tuple(slice(s.start * f, s.stop * f) for s, f in zip(box, coarse.factors, strict=True))
        target, values = result[wide], fine[wide]
        for part, block in coarse.slabs(target.shape[0]):  # the masks on the full grid are as large as the result
            inside, shape = target[block], target[block].shape
            inside[coarse.refine(sure[box][part], shape)] = side
            inside[coarse.refine(border[box][part], shape) & (values[block] < LUNG_HU)] = side
    return result
