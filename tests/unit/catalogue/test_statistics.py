"""The numbers of a comparison, against values computed by hand."""

from __future__ import annotations

import pytest

from services.catalogue.statistics import BlandAltman, Quartiles


def test_bland_altman_is_the_mean_difference_and_1_96_standard_deviations_around_it() -> None:
    # Differences 1, 2, 3, 6: mean 3; squares off it 4 + 1 + 0 + 9 = 14, over n - 1 = 3: SD = 2.160247.
    found = BlandAltman.of([(10, 11), (20, 22), (30, 33), (40, 46)])
    assert (found.n, found.bias) == (4, 3)
    assert found.low == pytest.approx(3 - 1.96 * 2.160247, abs=1e-5)
    assert found.high == pytest.approx(7.234084, abs=1e-5)


def test_differences_are_candidate_minus_active_and_alike_ones_have_no_spread() -> None:
    assert BlandAltman.of([(5, 3), (7, 5)]) == BlandAltman(2, -2, -2, -2)


def test_one_pair_has_a_bias_and_no_limits() -> None:
    assert BlandAltman.of([(5, 3)]) == BlandAltman(1, -2, None, None)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([0.9], (0.9, 0.9, 0.9)),
        ([0.0, 1.0], (0.25, 0.5, 0.75)),
        ([1, 2, 3, 4], (1.75, 2.5, 3.25)),  # a quarter of the way from the first to the last, in steps
        ([5, 1, 3, 2, 4], (2, 3, 4)),
    ],
)
def test_quartiles_are_interpolated_between_the_numbers(
    numbers: list[float], expected: tuple[float, float, float]
) -> None:
    found = Quartiles.of(numbers)
    assert (found.low, found.median, found.high) == pytest.approx(expected)
