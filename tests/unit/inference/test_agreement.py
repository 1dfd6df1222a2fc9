"""How near two versions are, against values computed by hand."""

from __future__ import annotations

from math import isnan
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from services.contracts.card import ModelCard
from services.contracts.events import Figure, FigureKind
from services.contracts.tensors import Output
from services.inference.agreement import dice, figures
from services.inference.errors import NotComparable
from services.inference.model import Answer
from tests.unit.inference.fakes import CARD

BRIGHT = CARD["labels"][0]
CODE = BRIGHT["type"]
FRAMES = (("2.25.1", 1), ("2.25.2", 1))


def answer(card: dict[str, Any] | None = None, frames: tuple[tuple[str, int], ...] = FRAMES, **arrays: Any) -> Answer:
    return Answer(
        ModelCard.from_mapping({**CARD, **(card or {})}),
        frames,
        {Output(name): np.asarray(array) for name, array in arrays.items()},
        1.5,
    )


def labels(*planes: list[list[int]]) -> NDArray[np.uint8]:
    return np.array(planes, np.uint8)


def of(kind: FigureKind, found: tuple[Figure, ...]) -> dict[str, Figure]:
    return {figure.name: figure for figure in found if figure.kind == kind}


@pytest.mark.parametrize(
    ("both", "one", "other", "expected"), [(3, 4, 5, 2 / 3), (0, 4, 5, 0), (4, 4, 4, 1), (0, 7, 0, 0), (0, 0, 0, 1)]
)
def test_dice_is_twice_what_is_in_both_over_what_is_in_each_and_1_of_two_empty_masks(
    both: int, one: int, other: int, expected: float
) -> None:
    assert dice(both, one, other) == pytest.approx(expected)


def test_labels_are_compared_by_their_names_whatever_their_values_are() -> None:
    two = {**BRIGHT, "value": 1, "name": "Two"}
    one = answer({"labels": [BRIGHT, two]}, labels=labels([[3, 3, 0], [1, 0, 0]], [[3, 3, 1], [0, 0, 0]]))
    other = answer(
        {"labels": [{**BRIGHT, "value": 7}, {**two, "value": 3}, {**two, "value": 9, "name": "New"}]},
        labels=labels([[7, 7, 7], [0, 3, 0]], [[7, 0, 9], [0, 0, 3]]),
    )
    found = of(FigureKind.LABEL, figures(one, other))
    assert list(found) == ["Bright", "Two"]
    bright, second = found["Bright"], found["Two"]
    assert (bright.active, bright.candidate, bright.dice) == (4, 4, pytest.approx(2 * 3 / 8))
    assert (second.active, second.candidate, second.dice) == (2, 2, 0)


def test_a_version_with_probabilities_alone_is_compared_at_a_half() -> None:
    one = answer(labels=labels([[3, 3]], [[3, 0]]))
    other = answer(probabilities=np.array([[[[255, 128]], [[127, 0]]]], np.uint8))
    (found,) = figures(one, other)
    assert (found.active, found.candidate, found.dice) == (3, 2, pytest.approx(0.8))


def test_measurements_are_compared_in_the_same_unit_and_nan_stays_nan() -> None:
    litres = [{**CARD["measurements"][0], "unit": {"code": "L", "scheme": "UCUM", "meaning": "litre"}}]
    mean = {**CARD["measurements"][0], "name": "mean", "unit": {"code": "[hnsf'U]", "scheme": "UCUM", "meaning": "HU"}}
    one = answer({"measurements": [*CARD["measurements"], mean]}, measurements=[[12.5, 40.0]])
    other = answer({"measurements": [mean, *CARD["measurements"]]}, measurements=[[np.nan, 13.0]])
    found = of(FigureKind.MEASUREMENT, figures(one, other))
    volume = found["Bright volume"]
    assert (volume.unit, volume.active, volume.candidate) == ("mL", 12.5, 13.0)
    assert found["Bright mean"].active == 40 and isnan(found["Bright mean"].candidate)
    with pytest.raises(NotComparable, match="in common"):
        figures(answer(measurements=[[12.5]]), answer({"measurements": litres}, measurements=[[0.0125]]))


def test_boxes_are_counted_by_their_labels() -> None:
    one, other = answer(box_labels=np.array([3, 3], np.uint16)), answer(box_labels=np.array([3], np.uint16))
    assert figures(one, other) == (Figure(FigureKind.MEASUREMENT, "Bright boxes", "1", 2, 1),)


def test_a_class_is_said_by_the_threshold_of_its_own_card() -> None:
    classes = [{"name": "seen", "type": CODE}, {"name": "odd", "type": CODE, "threshold": 0.9}]
    strict = [{**each, "threshold": 0.8} for each in classes]
    found = figures(answer({"classes": classes}, classes=[0.5, 0.89]), answer({"classes": strict}, classes=[0.7, 0.8]))
    assert [(each.name, each.active, each.candidate) for each in found] == [("seen", 1, 0), ("odd", 0, 1)]


def test_answers_on_different_frames_are_not_compared() -> None:
    empty = labels([[0]], [[0]])
    with pytest.raises(NotComparable, match="same frames"):
        figures(answer(labels=empty), answer(labels=empty, frames=FRAMES[::-1]))
