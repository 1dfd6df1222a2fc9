"""A chest of ellipsoids and tubes whose volumes are known, in the patient's axes (superior, posterior, left)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHAPE = (100, 180, 220)
SPACING = np.array([2.5, 1.7, 1.7])
HEAD_FIRST = np.eye(3)

Volume = NDArray[np.int16]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Chest:
    """The phantom and what is true about it."""

    hu: Volume
    left: Mask
    right: Mask
    airway: Mask
    bubble: Mask
    bones: Mask
    blood: Mask


def millimetres() -> tuple[NDArray[np.float64], ...]:
    """Coordinates of the voxels in mm, from the middle of the volume."""
    return tuple(
        ((np.arange(size) - size / 2) * step).reshape([-1 if i == axis else 1 for i in range(3)])
        for axis, (size, step) in enumerate(zip(SHAPE, SPACING, strict=True))
    )


def ellipsoid(centre: tuple[float, float, float], radii: tuple[float, float, float]) -> Mask:
    """An ellipsoid; centre and radii in mm along (superior, posterior, left)."""
    terms = (((x - c) / r) ** 2 for x, c, r in zip(millimetres(), centre, radii, strict=True))
    return np.asarray(sum(terms) <= 1)


def tube(start: tuple[float, float, float], end: tuple[float, float, float], radius: float) -> Mask:
    """A round tube from start to end, mm."""
    a, b = np.array(start), np.array(end)
    length = float(np.linalg.norm(b - a))
    unit = (b - a) / length
    z, y, x = millimetres()
    dz, dy, dx = z - a[0], y - a[1], x - a[2]
    along = dz * unit[0] + dy * unit[1] + dx * unit[2]
    across = dz**2 + dy**2 + dx**2 - along**2
    return np.asarray((along >= 0) & (along <= length) & (across <= radius**2))


def chest(
    *,
    gap_mm: float = 20.0,
    septum_hu: int | None = None,
    noise_hu: float = 20.0,
    lung_hu: int = -850,
    contrast_hu: int = 40,
) -> Chest:
    """A chest on a table.

    Args:
        gap_mm: Soft tissue between the lungs at the narrowest; 0 or less joins them in front.
        septum_hu: Attenuation of the line, one voxel thin, between lungs that touch; None: there is none.
        noise_hu: Standard deviation of the noise.
        lung_hu: Attenuation of lung.
        contrast_hu: Attenuation of the blood in the heart and the aorta.
    """
    _, y, x = millimetres()
    body = ((y / 105) ** 2 + (x / 165) ** 2 <= 1) & np.ones(SHAPE, bool)
    middle = gap_mm / 2 + 55
    left = ellipsoid((0, 0, middle), (95, 75, 55))
    right = ellipsoid((0, 0, -middle), (100, 78, 55))
    if gap_mm <= 0:
        left, right = left & (x >= 0), right & (x < 0)
    airway = tube((125, 0, 0), (20, 0, 0), 8.0)
    airway |= tube((20, 0, 0), (0, 0, middle - 30), 6.0) | tube((20, 0, 0), (0, 0, 30 - middle), 6.0)
    wall = tube((125, 0, 0), (20, 0, 0), 10.0)
    wall |= tube((20, 0, 0), (0, 0, middle - 30), 8.0) | tube((20, 0, 0), (0, 0, 30 - middle), 8.0)
    vessels = np.zeros(SHAPE, bool)
    for side in (middle, -middle):
        for height, depth in ((40, 30), (0, -30), (-40, 20)):
            vessels |= tube((0, 0, side), (height, depth, side + 20), 3.0)
    bubble = ellipsoid((-95, -30, 70), (22, 25, 25)) & ~ellipsoid((0, 0, middle), (101, 81, 61))
    spine = tube((-125, 85, 0), (125, 85, 0), 14.0)
    cortex = spine & ~tube((-125, 85, 0), (125, 85, 0), 11.0)
    blood = ellipsoid((-40, -40, 0), (25, 20, 9)) & ~left & ~right
    hu = np.full(SHAPE, -1000, np.float64)
    hu[body] = 40
    hu[np.broadcast_to((abs(y - 125) < 20) & (abs(x) < 150), SHAPE)] = -980  # foam of the table ...
    hu[np.broadcast_to((abs(abs(y - 125) - 20) < 2) & (abs(x) < 152), SHAPE)] = 150  # ... between its plates
    hu[np.broadcast_to((abs(y - 125) < 22) & (abs(abs(x) - 151) < 2), SHAPE)] = 150
    hu[left | right] = lung_hu
    if septum_hu is not None:
        hu[(left | right) & (abs(x + 0.1) < 1)] = septum_hu
    hu[vessels & (left | right)] = 40
    hu[wall] = 20
    hu[airway] = -1000
    hu[bubble] = -1000
    hu[spine] = 180
    hu[cortex] = 700
    hu[blood] = contrast_hu
    rng = np.random.default_rng(2)
    hu += rng.normal(0, noise_hu, SHAPE)
    return Chest(hu.astype(np.int16), left & ~wall, right & ~wall, airway, bubble, spine, blood)


def dice(one: Mask, other: Mask) -> float:
    """Overlap of two masks, 1 when they are equal."""
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def millilitres(mask: Mask) -> float:
    """Volume of a mask on the phantom's grid."""
    return np.count_nonzero(mask) * float(np.prod(SPACING)) / 1000
