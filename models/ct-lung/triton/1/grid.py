"""The grid of a volume: a view of it along the patient's axes, and a coarse copy.

Plain NumPy, so that it can be tried without Triton. Every model package stands alone (it is copied into a
model repository as it is), so a package that needs this module carries its own copy; a unit test keeps the
copies equal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

SLAB = 8
"""So many planes of the coarse grid are refined at a time."""
AIR_HU = -1024
"""What padding outside the scanner's field of view counts as."""


@dataclass(frozen=True, slots=True)
class PatientAxes:
    """How array axes (slice, row, column) map to patient axes (superior, posterior, left).

    Attributes:
        order: For each patient axis the array axis that runs along it.
        flipped: For each patient axis whether the array runs against it.
    """

    order: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]

    @classmethod
    def of(cls, direction: NDArray[np.float64]) -> PatientAxes:
        """Finds the assignment of axes that fits best, also for oblique and non-axial volumes.

        Args:
            direction: 3x3; columns are the unit vectors of the column, row and slice index in the patient's
                LPS system (PS3.3 C.7.6.2.1.1).
        """
        vectors = np.asarray(direction, dtype=np.float64).T[::-1]  # one per array axis: slice, row, column
        along = vectors @ np.array([[0, 0, 1], [0, 1, 0], [1, 0, 0]]).T  # array axis x (S, P, L)
        best = max(permutations(range(3)), key=lambda p: sum(abs(along[p[i], i]) for i in range(3)))
        flipped = tuple(bool(along[best[i], i] < 0) for i in range(3))
        return cls(order=(best[0], best[1], best[2]), flipped=(flipped[0], flipped[1], flipped[2]))

    def view(self, volume: NDArray[Any]) -> NDArray[Any]:
        """The same voxels as (superior, posterior, left), without a copy."""
        steps = tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)
        return volume.transpose(self.order)[steps]

    def back(self, volume: NDArray[Any]) -> NDArray[Any]:
        """The inverse of `view`, as a contiguous array."""
        steps = tuple(slice(None, None, -1 if flip else 1) for flip in self.flipped)
        return np.ascontiguousarray(volume[steps].transpose(np.argsort(self.order)))

    def spacing(self, spacing: NDArray[np.float64]) -> tuple[float, float, float]:
        """Spacing per array axis reordered to patient axes, in mm."""
        return (float(spacing[self.order[0]]), float(spacing[self.order[1]]), float(spacing[self.order[2]]))


@dataclass(frozen=True, slots=True)
class Coarse:
    """A block-averaged copy of a volume.

    Attributes:
        hu: float32, averages over blocks of `factors` voxels.
        factors: Voxels per block along each axis.
        spacing: Of the coarse grid, in mm.
    """

    hu: NDArray[np.float32]
    factors: tuple[int, int, int]
    spacing: tuple[float, float, float]

    @classmethod
    def of(cls, hu: NDArray[np.int16], spacing: tuple[float, float, float], target_mm: float) -> Coarse:
        """Averages blocks so that no axis is sampled much finer than `target_mm`."""
        fz, fy, fx = (max(1, round(target_mm / step)) for step in spacing)
        shape = tuple(-(-size // factor) for size, factor in zip(hu.shape, (fz, fy, fx), strict=True))
        total = np.zeros(shape, np.float32)
        for oz, oy, ox in product(range(fz), range(fy), range(fx)):
            part = hu[oz::fz, oy::fy, ox::fx]
            # The last block may be cut short: its missing voxels repeat the first one of the block.
            if part.shape != shape:
                full = hu[::fz, ::fy, ::fx].astype(np.float32)
                full[tuple(slice(0, n) for n in part.shape)] = part
                total += np.maximum(full, AIR_HU)
            else:
                total += np.maximum(part, AIR_HU)
        total /= fz * fy * fx
        return cls(total, (fz, fy, fx), (spacing[0] * fz, spacing[1] * fy, spacing[2] * fx))

    def slabs(self, planes: int) -> Iterator[tuple[slice, slice]]:
        """Slabs of the coarse grid, and of the fine one of so many planes that they lie on."""
        for start in range(0, -(-planes // self.factors[0]), SLAB):
            end = start + SLAB
            yield slice(start, end), slice(start * self.factors[0], min(end * self.factors[0], planes))

    def refine(self, mask: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """Repeats coarse voxels to the fine grid of `shape`."""
        for axis, factor in enumerate(self.factors):
            if factor > 1:
                mask = np.repeat(mask, factor, axis=axis)
        return mask[tuple(slice(0, size) for size in shape)]
