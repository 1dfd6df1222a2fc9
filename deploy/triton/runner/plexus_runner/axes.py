"""From the source grid to the network's and back: axes by the patient's sides, spacing by separable interpolation.

Axes are permuted and reversed, never rotated: an oblique series stays oblique. Both ways are exact inverses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

Finish = Callable[[NDArray[np.float32]], NDArray[Any]]
_SLAB = 16
"""So many planes are in hand at a time."""
SIDES = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
"""To which LPS coordinate a letter belongs, and whether it grows that way."""


@dataclass(frozen=True)
class Grid:
    """How the network's grid lies in the source's.

    Attributes:
        order: for each axis of the network's grid the source axis (plane, row, column).
        flips: whether it runs the other way.
        source: the source's shape along these axes.
        shape: the network's.
        starts: where the network's first voxel lies, in source voxels along these axes.
        steps: source voxels from one network voxel to the next.
        spacing: mm between the network's voxels.
    """

    order: tuple[int, ...]
    flips: tuple[bool, ...]
    source: tuple[int, ...]
    shape: tuple[int, ...]
    starts: tuple[float, ...]
    steps: tuple[float, ...]
    spacing: tuple[float, ...]

    @classmethod
    def of(
        cls,
        shape: Sequence[int],
        spacing: Sequence[float] | NDArray[np.float64],
        direction: NDArray[np.float64],
        *,
        axes: str,
        target: Sequence[float] | None,
        size: Sequence[int] | None,
    ) -> Grid:
        """The grid with these axes and this spacing, or this size, over the same field of view."""
        order, flips = arrangement(direction, axes) if axes else ((0, 1, 2), (False, False, False))
        source = tuple(shape[axis] for axis in order)
        own = tuple(float(spacing[axis]) for axis in order)
        if size is not None:
            made = tuple(size)
        elif target is not None:
            made = tuple(
                max(1, round(count * step / wanted)) for count, step, wanted in zip(source, own, target, strict=True)
            )
        else:
            made = source
        if target is not None and size is None:
            steps = tuple(wanted / step for step, wanted in zip(own, target, strict=True))
        else:
            steps = tuple(count / new for count, new in zip(source, made, strict=True))
        # Both grids have the same middle: what rounding adds or takes goes to both ends.
        starts = tuple(
            (count - 1) / 2 - (new - 1) / 2 * step for count, new, step in zip(source, made, steps, strict=True)
        )
        mm = tuple(step * size_mm for step, size_mm in zip(steps, own, strict=True))
        return cls(tuple(order), tuple(flips), source, made, starts, steps, mm)

    @property
    def is_source(self) -> bool:
        """Whether no interpolation is needed."""
        return self.shape == self.source and all(step == 1 for step in self.steps)

    @property
    def home(self) -> tuple[int, ...]:
        """The source's shape as it is: planes, rows, columns."""
        return tuple(self.source[axis] for axis in np.argsort(self.order))

    def view(self, array: NDArray[Any]) -> NDArray[Any]:
        """A source array [plane, row, column] along the network's axes; no copy."""
        turned = array.transpose(self.order)
        return turned[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)]

    def back(self, array: NDArray[Any]) -> NDArray[Any]:
        """The inverse of `view`."""
        turned = array[tuple(slice(None, None, -1) if flip else slice(None) for flip in self.flips)]
        return turned.transpose(tuple(int(axis) for axis in np.argsort(self.order)))

    def sampled(self, view: NDArray[Any]) -> NDArray[Any]:
        """A view of the source on the network's grid, linear; the view itself where they are one."""
        if self.is_source:
            return view
        places = [
            start + step * np.arange(n) for start, step, n in zip(self.starts, self.steps, self.shape, strict=True)
        ]
        return linear(view, places)

    def nearest(self, array: NDArray[Any], out: NDArray[Any]) -> None:
        """Writes an array of the network's grid on the source grid to `out` [plane, row, column], by nearest voxel."""
        turned = self.view(out)
        if self.is_source:
            turned[...] = array
            return
        near = [
            np.clip(np.rint(place), 0, count - 1).astype(np.intp)
            for place, count in zip(self._places(), self.shape, strict=True)
        ]
        for plane, index in enumerate(near[0]):  # plane by plane: fancy indexing copies
            turned[plane] = array[index][np.ix_(near[1], near[2])]

    def smooth(self, array: NDArray[Any], out: NDArray[Any], finish: Finish | None = None) -> None:
        """Writes an array of the network's grid on the source grid to `out` [plane, row, column], linear.

        Args:
            array: on the network's grid.
            out: of the source's shape.
            finish: what is made of the numbers before they become those of `out`.
        """
        places, turned = self._places(), self.view(out)
        for start in range(0, len(turned), _SLAB):
            part = slice(start, start + _SLAB)
            slab = array[part] if self.is_source else linear(array, [places[0][part], *places[1:]])
            turned[part] = slab if finish is None else finish(np.asarray(slab, np.float32))

    def _places(self) -> list[NDArray[Any]]:
        return [
            (np.arange(count) - start) / step
            for count, start, step in zip(self.source, self.starts, self.steps, strict=True)
        ]


def arrangement(direction: NDArray[np.float64], axes: str) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """For each letter the source axis (plane, row, column) that runs most nearly along it, and whether reversed.

    Args:
        direction: 3x3, columns are the LPS unit vectors of the column, row and plane index.
        axes: three letters, see `SIDES`.
    """
    vectors = direction[:, ::-1]  # of the plane, row and column index
    along = np.array([vectors[SIDES[letter][0]] * SIDES[letter][1] for letter in axes])
    order = max(permutations(range(3)), key=lambda one: sum(abs(along[row, axis]) for row, axis in enumerate(one)))
    return order, tuple(bool(along[row, axis] < 0) for row, axis in enumerate(order))


def linear(array: NDArray[Any], places: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """`array` at the crossings of `places`, axis by axis; beyond its ends it goes on as it ends."""
    shrinking = sorted(range(array.ndim), key=lambda axis: len(places[axis]) / array.shape[axis])
    for axis in shrinking:
        array = _along(array, axis, places[axis])
    return np.asarray(array, np.float32)


def _along(array: NDArray[Any], axis: int, places: NDArray[Any]) -> NDArray[np.float32]:
    """`array` at `places` of one axis. Slab by slab: what is made on the way is twice as large as the result."""
    places = np.clip(places, 0, array.shape[axis] - 1)
    low = np.minimum(np.floor(places).astype(np.intp), max(array.shape[axis] - 2, 0))
    high = np.minimum(low + 1, array.shape[axis] - 1)
    share = (places - low).astype(np.float32).reshape([-1 if one == axis else 1 for one in range(array.ndim)])
    made = np.empty([len(places) if one == axis else length for one, length in enumerate(array.shape)], np.float32)
    across = 1 if axis == 0 else 0
    for start in range(0, array.shape[across], _SLAB):
        slab = tuple(slice(start, start + _SLAB) if one == across else slice(None) for one in range(array.ndim))
        first = array[slab].take(low, axis).astype(np.float32, copy=False)
        second = array[slab].take(high, axis).astype(np.float32, copy=False)
        second -= first
        second *= share
        np.add(first, second, out=made[slab])
    return made
