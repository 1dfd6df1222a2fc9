"""Sliding windows with bounded memory: planes that no later window touches are handed on and forgotten."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""A patch [channels, depth, height, width] to the network's output [channels, depth, height, width]."""
Cut = Callable[[Sequence[int]], NDArray[np.float32]]
"""The patch that begins there."""

_SIGMA = 1 / 8
_LEAST = 1e-3


def starts(length: int, size: int, overlap: float) -> list[int]:
    """Where windows begin along an axis; where the axis is shorter, one window has it in its middle."""
    if length <= size:
        return [-((size - length) // 2)]
    step = max(1, int(size * (1 - overlap)))
    found = list(range(0, length - size, step))
    return [*found, length - size]


def weights(size: Sequence[int], blend: str) -> NDArray[np.float32]:
    """How much each voxel of a window counts: all the same, or less towards its border."""
    if blend == "constant":
        return np.ones(tuple(size), np.float32)
    made = np.ones((), np.float32)
    for length in size:
        distance = (np.arange(length) - (length - 1) / 2) / (length * _SIGMA)
        made = np.multiply.outer(made, np.exp(-0.5 * distance**2)).astype(np.float32)
    least: NDArray[np.float32] = np.maximum(made, _LEAST * made.max())
    return least


def slide(
    shape: Sequence[int], size: Sequence[int], *, overlap: float, blend: str, cut: Cut, run: Run
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """The network's output over a grid of `shape`, as slabs [channels, plane, row, column] with their first plane."""
    along = [starts(length, one, overlap) for length, one in zip(shape, size, strict=True)]
    weight = weights(size, blend)
    total: NDArray[np.float32] | None = None
    share = np.zeros((size[0], *shape[1:]), np.float32)
    for number, first in enumerate(along[0]):
        for place in product([first], *along[1:]):
            answer = run(cut(place))
            if total is None:
                total = np.zeros((len(answer), *share.shape), np.float32)
            # Along the first axis sums lie from `first` on, with what is outside the image cut away at the end.
            inner = [
                slice(max(0, -at), min(one, length - at)) for at, one, length in zip(place, size, shape, strict=True)
            ]
            outer = (
                slice(inner[0].start, inner[0].stop),
                *(slice(at + part.start, at + part.stop) for at, part in zip(place[1:], inner[1:], strict=True)),
            )
            total[(slice(None), *outer)] += (answer * weight)[(slice(None), *inner)]
            share[outer] += weight[tuple(inner)]
        assert total is not None  # noqa: S101 - there is at least one window
        following = along[0][number + 1] if number + 1 < len(along[0]) else shape[0]
        low, high = max(0, -first), min(following, shape[0]) - first
        total[:, low:high] /= share[low:high]
        yield first + low, total[:, low:high].copy()
        moved = following - first
        if moved < size[0]:
            total[:, : size[0] - moved] = total[:, moved:].copy()
            share[: size[0] - moved] = share[moved:].copy()
            total[:, size[0] - moved :] = 0
            share[size[0] - moved :] = 0
        else:
            total[...] = 0
            share[...] = 0
