"""How outputs are compared with what is expected."""

from __future__ import annotations

import numpy as np
import pytest

from services.catalogue.checking import compare, dice, relative_error
from services.catalogue.ports import Case
from services.contracts.card import ModelCard
from tests.unit.contracts.test_card import CARD

MODEL = ModelCard.from_mapping(CARD)
LABELS = np.zeros((4, 8, 8), np.uint8)
LABELS[1:3, 2:6, 2:6] = 1
NUMBERS = np.array([[12.5]], np.float32)


def case(**expected: np.ndarray) -> Case:
    return Case("one", {}, expected)


def test_what_is_near_enough_passes() -> None:
    output = LABELS.copy()
    figures, problems = compare(
        case(labels=LABELS, measurements=NUMBERS), {"labels": output, "measurements": NUMBERS * 1.005}, MODEL
    )
    assert problems == []
    assert figures["Dice One"] == 1.0
    assert figures["measurements relative error"] == pytest.approx(0.005, rel=0.01)


def test_every_way_to_be_wrong_is_told() -> None:
    shifted = np.roll(LABELS, 2, axis=2)
    _, problems = compare(
        case(labels=LABELS, measurements=NUMBERS, count=np.array([3]), gone=NUMBERS, flat=LABELS),
        {"labels": shifted, "measurements": NUMBERS * 2, "count": np.array([4]), "flat": LABELS[0]},
        MODEL,
    )
    assert problems == [
        "One: Dice 0.500 is below 0.99",
        "measurements: relative error 1 is above 0.01",
        "count differs in 1 of 1 values",
        "there is no output gone",
        "flat is 8 x 8 where 4 x 8 x 8 is expected",
    ]


def test_a_case_without_expectation_does_not_pass() -> None:
    assert compare(Case("one", {}, None), {}, MODEL)[1] == [
        "there is no expected.npz: look at the picture, then keep what came out with --record"
    ]


def test_two_empty_masks_agree_and_nan_agrees_with_nan_alone() -> None:
    empty, nan = np.zeros(3, bool), np.array([np.nan, 1.0])
    assert dice(empty, empty) == 1.0
    assert dice(empty, ~empty) == 0.0
    assert relative_error(nan, nan) == 0.0
    assert relative_error(np.array([1.0, 1.0]), nan) == float("inf")
