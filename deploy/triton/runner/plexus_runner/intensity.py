"""The steps of `intensity`: what a network sees of the values. Statistics are of the whole input, slab by slab."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Step = Callable[[NDArray[np.float32]], NDArray[np.float32]]
_ENOUGH = 4_000_000
"""Voxels from which percentiles are taken."""


class Intensity:
    """The steps, made ready for one input; channels come first in all arrays."""

    def __init__(self, steps: Sequence[tuple[str, dict[str, Any]]], channels: Sequence[NDArray[Any]]) -> None:
        self._steps: list[Step] = []
        for name, parameters in steps:
            self._steps.append(self._made(name, parameters, channels))

    def __call__(self, patch: NDArray[Any]) -> NDArray[np.float32]:
        """A copy of `patch` after all steps."""
        values = patch.astype(np.float32)
        for step in self._steps:
            values = step(values)
        return values

    def _made(self, name: str, given: dict[str, Any], channels: Sequence[NDArray[Any]]) -> Step:
        if name == "clip":
            return lambda values: np.clip(values, given["low"], given["high"])
        if name == "window":
            low = given["centre"] - given["width"] / 2
            return _line(low, low + given["width"], 0.0, 1.0)
        if name == "scale":
            return _line(given["low"], given["high"], given["to_low"], given["to_high"])
        if name == "normalise":
            mean, std = (np.array(given[key], np.float32) for key in ("mean", "std"))
            return lambda values: (values - _along(mean, values)) / _along(std, values)
        if name == "zscore":
            centre, spread = self._moments(channels, nonzero=given["over"] == "nonzero")
            return _zscore(centre, spread, keep_zero=given["over"] == "nonzero")
        if name == "minmax":
            ends = [(float(slab.min()), float(slab.max())) for slab in self._slabs(channels)]
            low, high = min(end[0] for end in ends), max(end[1] for end in ends)
        else:  # percentiles
            stride = max(1, int(np.ceil((sum(one.size for one in channels) / _ENOUGH) ** (1 / 3))))
            some = [self(one[None, ::stride, ::stride, ::stride]).ravel() for one in channels]
            low, high = (float(one) for one in np.percentile(np.concatenate(some), (given["low"], given["high"])))
        return _line(low, high if high > low else low + 1, given["to_low"], given["to_high"])

    def _slabs(self, channels: Sequence[NDArray[Any]]) -> Iterator[NDArray[np.float32]]:
        for channel in channels:
            for start in range(0, len(channel), 8):
                yield self(channel[None, start : start + 8])

    def _moments(self, channels: Sequence[NDArray[Any]], *, nonzero: bool) -> tuple[float, float]:
        count, total, squares = 0, 0.0, 0.0
        for slab in self._slabs(channels):
            values = slab[slab != 0] if nonzero else slab.ravel()
            count += values.size
            total += float(values.sum(dtype=np.float64))
            squares += float(np.square(values, dtype=np.float64).sum())
        if count == 0:
            return 0.0, 1.0
        mean = total / count
        spread = float(np.sqrt(max(squares / count - mean**2, 0.0)))
        return mean, spread or 1.0


def _line(low: float, high: float, to_low: float, to_high: float) -> Step:
    slope = (to_high - to_low) / (high - low)
    least, most = min(to_low, to_high), max(to_low, to_high)
    return lambda values: np.clip((values - np.float32(low)) * np.float32(slope) + np.float32(to_low), least, most)


def _zscore(centre: float, spread: float, *, keep_zero: bool) -> Step:
    def step(values: NDArray[np.float32]) -> NDArray[np.float32]:
        made = (values - np.float32(centre)) / np.float32(spread)
        if keep_zero:
            made[values == 0] = 0
        return made

    return step


def _along(values: NDArray[np.float32], like: NDArray[np.float32]) -> NDArray[np.float32]:
    return values.reshape(-1, *[1] * (like.ndim - 1))
