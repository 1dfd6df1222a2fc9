"""The model card, read and checked."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from services.contracts.card import CardError, InputKind, ModelCard, ModelTask, PackageKind, ResultKind

CODE = {"code": "118565006", "scheme": "SCT", "meaning": "Volume"}
CARD: dict[str, Any] = {
    "name": "a-model",
    "version": "1.0.0",
    "title": "A model",
    "author": "Somebody",
    "licence": "Apache-2.0",
    "intended_use": "Tests.",
    "task": "volume-segmentation",
    "selection": "true",
    "labels": [{"value": 1, "name": "One", "category": CODE, "type": CODE, "colour": [1, 2, 3]}],
    "measurements": [{"name": "volume", "quantity": CODE, "unit": CODE}],
    "timeout_seconds": 5,
}


def without(*path: str | int) -> dict[str, Any]:
    """The card without the key at `path`."""
    card = copy.deepcopy(CARD)
    at: Any = card
    for step in path[:-1]:
        at = at[step]
    del at[path[-1]]
    return card


def test_a_card_is_read_whole() -> None:
    card = ModelCard.from_mapping(CARD)
    assert (card.name, card.version, card.timeout_seconds) == ("a-model", "1.0.0", 5.0)
    assert card.labels[0].colour == (1, 2, 3)
    assert card.labels[0].type.meaning == "Volume"
    assert card.measurements[0].unit.scheme == "SCT"
    assert card.source == CARD


def test_measurements_and_a_time_limit_may_be_left_out() -> None:
    card = ModelCard.from_mapping({k: v for k, v in CARD.items() if k not in ("measurements", "timeout_seconds")})
    assert card.measurements == ()
    assert card.timeout_seconds > 0


@pytest.mark.parametrize("key", [key for key in CARD if key not in ("measurements", "timeout_seconds")])
def test_a_missing_key_is_named(key: str) -> None:
    with pytest.raises(CardError, match=f"'{key}'"):
        ModelCard.from_mapping(without(key))


@pytest.mark.parametrize(
    "path",
    [
        ("labels", 0, "value"),
        ("labels", 0, "colour"),
        ("labels", 0, "type"),
        ("labels", 0, "category", "meaning"),
        ("measurements", 0, "unit"),
        ("measurements", 0, "quantity", "code"),
    ],
)
def test_a_missing_key_further_down_is_named(path: tuple[str | int, ...]) -> None:
    with pytest.raises(CardError, match=f"'{path[-1]}'"):
        ModelCard.from_mapping(without(*path))


@pytest.mark.parametrize("value", [0, 65536, -1])
def test_a_label_that_does_not_fit_sixteen_bits_is_refused(value: int) -> None:
    card = copy.deepcopy(CARD)
    card["labels"][0]["value"] = value
    with pytest.raises(CardError, match="1 to 65535"):
        ModelCard.from_mapping(card)


@pytest.mark.parametrize(
    ("key", "value"),
    [("labels", None), ("labels", [None]), ("timeout_seconds", "soon"), ("measurements", 5)],
)
def test_a_value_of_another_kind_is_refused(key: str, value: object) -> None:
    with pytest.raises(CardError, match=f"malformed at the key '{key}'"):
        ModelCard.from_mapping({**CARD, key: value})


def test_two_labels_of_one_value_are_refused() -> None:
    card = copy.deepcopy(CARD)
    card["labels"] = [card["labels"][0], card["labels"][0]]
    with pytest.raises(CardError, match="the same value"):
        ModelCard.from_mapping(card)


def test_a_colour_has_three_parts() -> None:
    card = copy.deepcopy(CARD)
    card["labels"][0]["colour"] = [1, 2]
    with pytest.raises(CardError):
        ModelCard.from_mapping(card)


def test_a_card_says_what_it_takes_and_what_comes_of_it() -> None:
    card = ModelCard.from_mapping(
        without("labels")
        | {
            "kind": "onnx",
            "task": "classification",
            "input": {"kind": "image"},
            "classes": [{"name": "Left", "type": CODE}],
            "map": {"name": "heat", "quantity": CODE, "unit": CODE},
            "results": {"sr": None, "pdf": {"pictures": 2}},
        }
    )
    assert (card.kind, card.task, card.input, card.units) == (
        PackageKind.ONNX,
        ModelTask.CLASSIFICATION,
        InputKind.IMAGE,
        "stored",
    )
    assert (card.classes[0].threshold, card.map and card.map.name) == (0.5, "heat")
    assert card.results == {ResultKind.SR: {}, ResultKind.PDF: {"pictures": 2}}


@pytest.mark.parametrize(
    ("key", "value"), [("kind", "magic"), ("task", "cure"), ("input", {"kind": "smell"}), ("results", {"gif": {}})]
)
def test_a_word_that_is_not_known_is_refused(key: str, value: object) -> None:
    with pytest.raises(CardError, match=f"'{key}'"):
        ModelCard.from_mapping(CARD | {key: value})
