"""Bone on a CT, by deterministic image analysis, with contrast-filled vessels kept out as far as rules can.

Bone and contrast medium share their Hounsfield units, so shape decides: blood is even inside and wide, bone
has a bright cortex that is thin. What is even and brighter than its surroundings, and what is bright and too
thick for a cortex, is taken out first. Islands that lie between the lungs are vessels too.
"""

from __future__ import annotations

import numpy as np
from body import IN_PLANE, Mask, ball, body_and_air, bounds, counts, filled
from grid import SLAB, Coarse, PatientAxes
from numpy.typing import NDArray
from scipy import ndimage

BONE = 1

COARSE_MM = 1.8
BONE_HU = 160
"""On the smoothed coarse grid, where thin bone is already mixed with its surroundings."""
BORDER_HU = 200
BORDER_RANGE_HU = (160, 400)
CORTEX_HU = 320
"""An island needs this at its 95th percentile: less is calcified cartilage or a trace of contrast."""
ISLAND_ML = 1.0

POOL_HU = 150
POOL_EVENNESS = 150.0
POOL_ML = 3.0
POOL_RING_MM = 5.0
POOL_CONTRAST = 0.85
DENSE_HU = 650
DENSE_RADIUS_MM = 3.6
"""Cortical bone of the trunk is thinner than twice this; undiluted contrast and metal are not."""
GROWTH_MM = 5.2

LUNG_PIECE_ML = 100.0
SPINE_ML = 60.0
VESSEL_TOUCH = 0.05
FRONT = 0.55
"""The spine lies in the back of the chest, the vessels before it."""
MARROW_CLOSING_MM = 4.0
MARROW_HU = 60
MARROW_MM2 = 120.0


def segment(hu: NDArray[np.int16], spacing: NDArray[np.float64], direction: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Labels bone with the marrow that it encloses.

    Args:
        hu: [Z, Y, X] in Hounsfield units.
        spacing: (slice, row, column) in mm.
        direction: 3x3, columns are the LPS unit vectors of the column, row and slice index.

    Returns:
        uint8 [Z, Y, X]: 0 = not bone, 1 = bone.
    """
    axes = PatientAxes.of(direction)
    fine = axes.view(hu)
    coarse = Coarse.of(fine, axes.spacing(spacing), COARSE_MM)
    body, air = body_and_air(coarse.hu)
    hard = body & (coarse.hu > BONE_HU)
    if not hard.any():
        return np.zeros(hu.shape, np.uint8)
    box = bounds(hard)
    part = Coarse(coarse.hu[box], coarse.factors, coarse.spacing)
    bone = _bone(part, body[box], _between_lungs(air & body, coarse.spacing)[box])
    wide = tuple(slice(s.start * f, s.stop * f) for s, f in zip(box, coarse.factors, strict=True))
    result = np.zeros(fine.shape, np.uint8)
    result[wide] = _refine(fine[wide], part, bone)
    return axes.back(result)


def measure(hu: NDArray[np.int16], labels: NDArray[np.uint8], spacing: NDArray[np.float64]) -> NDArray[np.float32]:
    """Volume (mL) and mean attenuation (HU) of bone; float32 [1, 2], the mean is NaN where there is none."""
    values = hu[labels == BONE]
    mean = values.mean(dtype=np.float64) if values.size else np.nan
    return np.array([[values.size * float(np.prod(spacing)) / 1000, mean]], np.float32)


def _bone(coarse: Coarse, body: Mask, between_lungs: Mask) -> Mask:
    """Bone with its marrow on the coarse grid."""
    spacing = coarse.spacing
    voxel_ml = float(np.prod(spacing)) / 1000
    smooth = ndimage.gaussian_filter(coarse.hu, (0.5, 0.8, 0.8))
    contrast = _contrast(smooth, spacing)
    hard = body & ((smooth > BONE_HU) | (coarse.hu > BORDER_HU)) & ~contrast
    hard &= ~_mediastinal(hard, between_lungs, voxel_ml)
    pieces, count = ndimage.label(hard)
    if count == 0:
        return np.zeros_like(body)
    sizes = counts(pieces, count + 1)
    keep = np.zeros(count + 1, bool)
    boxes = ndimage.find_objects(pieces)
    for piece in np.flatnonzero(sizes * voxel_ml >= ISLAND_ML):
        if piece > 0:
            box = boxes[piece - 1]
            keep[piece] = np.percentile(smooth[box][pieces[box] == piece], 95) > CORTEX_HU
    return _with_marrow(keep[pieces], smooth, contrast, spacing)


def _contrast(smooth: NDArray[np.float32], spacing: tuple[float, float, float]) -> Mask:
    """Vessels and heart chambers full of contrast medium, and metal."""
    voxel_ml = float(np.prod(spacing)) / 1000
    pieces, count = ndimage.label(_even(smooth))
    found = ndimage.binary_opening(smooth > DENSE_HU, ball(DENSE_RADIUS_MM, spacing))
    reach = [int(np.ceil(POOL_RING_MM / step)) for step in spacing]
    sizes = counts(pieces, count + 1)
    for piece, box in enumerate(ndimage.find_objects(pieces), start=1):
        if sizes[piece] * voxel_ml < POOL_ML:
            continue
        room = tuple(slice(max(0, s.start - r), s.stop + r) for s, r in zip(box, reach, strict=True))
        pool = pieces[room] == piece
        ring = ndimage.binary_dilation(pool, ball(POOL_RING_MM, spacing))
        ring &= ~ndimage.binary_dilation(pool, ball(POOL_RING_MM / 2, spacing))
        # Around the marrow of a vertebra lies its brighter cortex; around blood lies its darker wall.
        if np.percentile(smooth[room][ring], 80) < POOL_CONTRAST * smooth[room][pool].mean():
            found[room] |= pool
    bright = (smooth > POOL_HU) & ndimage.binary_dilation(found, ball(GROWTH_MM, spacing))
    return np.asarray(bright | found)


def _even(smooth: NDArray[np.float32]) -> Mask:
    """What is bright and differs little from its neighbours."""
    even = np.zeros(smooth.shape, bool)
    for start in range(0, len(smooth), SLAB):
        low_end = max(0, start - 1)
        part = smooth[low_end : start + SLAB + 1]
        here = slice(start - low_end, start - low_end + SLAB)
        low, high = ndimage.minimum_filter(part, 3)[here], ndimage.maximum_filter(part, 3)[here]
        even[start : start + SLAB] = (low > POOL_HU) & (high - low < np.maximum(POOL_EVENNESS, 0.4 * high))
    return even


def _between_lungs(air: Mask, spacing: tuple[float, float, float]) -> Mask:
    """Whatever has lung on both sides in its row: lungs, mediastinum, heart."""
    pieces, count = ndimage.label(air)
    sizes = counts(pieces, count + 1) * float(np.prod(spacing)) / 1000
    sizes[0] = 0
    lungs = (sizes > LUNG_PIECE_ML)[pieces]
    left = np.maximum.accumulate(lungs, axis=2)
    right = np.maximum.accumulate(lungs[:, :, ::-1], axis=2)[:, :, ::-1]
    return np.asarray(left & right)


def _mediastinal(hard: Mask, between_lungs: Mask, voxel_ml: float) -> Mask:
    """Vessels in and between the lungs that are too narrow to be pools: they touch no bone, or hardly any."""
    pieces, count = ndimage.label(hard & between_lungs)
    if count == 0:
        return np.zeros_like(hard)
    sizes = counts(pieces, count + 1)
    sizes[0] = 0
    depth = np.cumsum(between_lungs.any(axis=2), axis=1, dtype=np.float32)  # rows into the chest, per slice
    depth /= np.maximum(depth[:, -1:], 1)
    depths = counts(pieces, count + 1, np.broadcast_to(depth[..., None], hard.shape))
    touching = np.bincount(pieces[ndimage.binary_dilation(hard & ~between_lungs)], minlength=len(sizes))
    loose = (touching == 0) | ((touching < VESSEL_TOUCH * sizes) & (depths < FRONT * sizes))
    vessel = loose & (sizes * voxel_ml < SPINE_ML)
    vessel[0] = False
    return np.asarray(vessel[pieces])


def _with_marrow(bone: Mask, smooth: NDArray[np.float32], contrast: Mask, spacing: tuple[float, float, float]) -> Mask:
    """Closes the cortex and fills what it encloses, but neither the spinal canal nor a vessel."""
    closed = ndimage.binary_closing(np.pad(bone, 4), ball(MARROW_CLOSING_MM, spacing))[4:-4, 4:-4, 4:-4]
    closed = (closed & (smooth > 0) & ~contrast) | bone
    holes, count = ndimage.label(filled(closed, IN_PLANE) & ~closed, structure=IN_PLANE)
    sizes = counts(holes, count + 1)
    means = counts(holes, count + 1, smooth) / np.maximum(sizes, 1)
    marrow = (means > MARROW_HU) | ((sizes * spacing[1] * spacing[2] < MARROW_MM2) & (means > -100))
    marrow[0] = False
    return np.asarray(closed | (marrow[holes] & ~contrast))


def _refine(fine: NDArray[np.int16], coarse: Coarse, bone: Mask) -> NDArray[np.uint8]:
    """Decides the border again on the full grid."""
    outer = ndimage.binary_dilation(bone)
    sure = ndimage.binary_erosion(bone, border_value=1)
    border = outer & ~sure
    # The border lies where brightness falls to half of what is next to it.
    half = np.clip(ndimage.maximum_filter(coarse.hu, 3) / 2, *BORDER_RANGE_HU)
    result = np.zeros(fine.shape, np.uint8)
    for part, block in coarse.slabs(len(fine)):  # what is made on the full grid is twice as large as the volume
        inside, shape = result[block], fine[block].shape
        calm = ndimage.uniform_filter(fine[block], (1, 3, 3))
        inside[coarse.refine(sure[part], shape)] = BONE
        inside[coarse.refine(border[part], shape) & (calm > coarse.refine(half[part], shape))] = BONE
    return result
