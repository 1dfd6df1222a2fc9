"""The few numbers by which two versions are compared. Pure; each is tested against values computed by hand."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_Z: Final = 1.96
"""Between minus and plus so many standard deviations lie 95 % of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Quartiles:
    """How numbers are spread; quartiles are interpolated linearly between the numbers that are there."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Quartiles:
        """Of at least one number."""
        if len(numbers) == 1:
            return cls(numbers[0], numbers[0], numbers[0])
        low, median, high = statistics.quantiles(numbers, n=4, method="inclusive")
        return cls(low, median, high)


@dataclass(frozen=True, slots=True)
class BlandAltman:
    """Agreement of two ways to measure (Bland and Altman, Lancet 1986): differences are the second minus the first.

    Attributes:
        n: pairs.
        bias: the mean difference.
        low: lower 95 % limit of agreement, bias - 1.96 SD, with the sample's standard deviation; None for one pair.
        high: upper limit.
    """

    n: int
    bias: float
    low: float | None
    high: float | None

    @classmethod
    def of(cls, pairs: Sequence[tuple[float, float]]) -> BlandAltman:
        """Of at least one pair."""
        differences = [second - first for first, second in pairs]
        bias = statistics.fmean(differences)
        if len(differences) == 1:
            return cls(1, bias, None, None)
        spread = _Z * statistics.stdev(differences)
        return cls(len(differences), bias, bias - spread, bias + spread)
