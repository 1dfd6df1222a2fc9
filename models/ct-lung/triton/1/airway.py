"""Trachea and main bronchi on a coarse CT grid, axes (superior, posterior, left).

The trachea is a round tube of air near the midline that goes on from slice to slice. From it a region grows
through ever less dark voxels until the region bursts into the lung: the last one before that is the airway.
"""

from __future__ import annotations

import numpy as np
from body import IN_PLANE, Mask, ball, counts
from numpy.typing import NDArray
from scipy import ndimage

TRACHEA_MM2 = (60.0, 900.0)
TRACHEA_LENGTH_MM = 20.0
LUMEN_HU = tuple(range(-980, -780, 20))
BURST = 1.6
AIRWAY_ML = 250.0
MAIN_BRONCHUS_RADIUS_MM = 3.0
WALL_MM = 2.0


def find_trachea(air: Mask, body: Mask, spacing: tuple[float, float, float]) -> Mask | None:
    """The part of the trachea above the carina, or None.

    Args:
        air: Air inside the body.
        body: The body, filled; its middle tells where a trachea may be.
        spacing: Coarse spacing in mm.
    """
    pieces, count = ndimage.label(air, structure=IN_PLANE)
    if count == 0:
        return None
    index = np.arange(1, count + 1)
    area = counts(pieces, count + 1)[1:] * spacing[1] * spacing[2]
    boxes = ndimage.find_objects(pieces)
    height = np.array([box[1].stop - box[1].start for box in boxes]) * spacing[1]
    width = np.array([box[2].stop - box[2].start for box in boxes]) * spacing[2]
    middle = np.array([(box[2].stop + box[2].start) / 2 for box in boxes])
    columns = np.flatnonzero(body.any(axis=(0, 1)))
    centre, reach = columns.mean(), 0.15 * np.ptp(columns)
    round_enough = (area > 0.5 * height * width) & (np.maximum(height, width) < 2.5 * np.minimum(height, width))
    fits = (area > TRACHEA_MM2[0]) & (area < TRACHEA_MM2[1]) & round_enough & (abs(middle - centre) < reach)
    tubes, tube_count = ndimage.label(np.isin(pieces, index[fits]))
    if tube_count == 0:
        return None
    spans = [box[0] for box in ndimage.find_objects(tubes)]
    lengths = np.array([span.stop - span.start for span in spans]) * spacing[0]
    levels = np.array([(span.stop + span.start) / 2 for span in spans])
    lung_level = np.average(np.arange(len(air)), weights=air.sum(axis=(1, 2)))
    # Gas in the bowel can look like a tube too, but it lies below the middle of the air in the chest.
    lengths[levels < lung_level] = 0
    longest = int(np.argmax(lengths))
    return np.asarray(tubes == longest + 1) if lengths[longest] >= TRACHEA_LENGTH_MM else None


def grow_airway(hu: NDArray[np.float32], trachea: Mask, spacing: tuple[float, float, float]) -> Mask:
    """Trachea and bronchi, walls not included, as far as the lumen can be told from the lung."""
    voxel_ml = float(np.prod(spacing)) / 1000
    seed = tuple(np.argwhere(trachea)[0])
    airway = trachea
    for limit in LUMEN_HU:
        regions, _ = ndimage.label((hu < limit) | trachea)
        region = np.asarray(regions == regions[seed])
        size = np.count_nonzero(region)
        if size * voxel_ml > AIRWAY_ML or size > BURST * np.count_nonzero(airway):
            break
        airway = region
    return airway


def main_airway(airway: Mask, spacing: tuple[float, float, float]) -> Mask:
    """Trachea and main bronchi with their walls: what is too wide for a smaller bronchus."""
    wide = ndimage.binary_opening(airway, ball(MAIN_BRONCHUS_RADIUS_MM, spacing))
    return np.asarray(ndimage.binary_dilation(wide, ball(WALL_MM, spacing)))
