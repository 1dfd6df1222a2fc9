"""The model card: what a model is, on what it runs, what comes out. Read from a package's `model.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class CardError(ValueError):
    """The card lacks something or says something impossible; the message names the key."""


@dataclass(frozen=True, slots=True)
class Code:
    """A coded concept (PS3.3 8.1): value, scheme designator, meaning."""

    code: str
    scheme: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Label:
    """One value of the label map: a segment."""

    value: int
    name: str
    category: Code
    type: Code
    colour: tuple[int, int, int]
    """Recommended display colour, sRGB 0 to 255."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One column of the tensor `measurements`: a quantity of each label, in a unit."""

    name: str
    quantity: Code
    unit: Code


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model package's card, checked."""

    name: str
    version: str
    title: str
    author: str
    licence: str
    intended_use: str
    task: str
    selection: str
    """CEL over `series`: its DICOM keywords, and `instances`."""
    labels: tuple[Label, ...]
    measurements: tuple[Measurement, ...]
    timeout_seconds: float
    source: Mapping[str, Any]
    """The card as it was read, for the result file."""

    @classmethod
    def from_mapping(cls, card: Mapping[str, Any]) -> ModelCard:
        """The card in `card`, as YAML or JSON gives it.

        Raises:
            CardError: a key is missing or of another kind.
        """
        try:
            return cls(
                name=str(card["name"]),
                version=str(card["version"]),
                title=str(card["title"]),
                author=str(card["author"]),
                licence=str(card["licence"]),
                intended_use=str(card["intended_use"]),
                task=str(card["task"]),
                selection=str(card["selection"]),
                labels=tuple(_label(item) for item in card["labels"]),
                measurements=tuple(
                    Measurement(str(item["name"]), _code(item["quantity"]), _code(item["unit"]))
                    for item in card.get("measurements", ())
                ),
                timeout_seconds=float(card.get("timeout_seconds", 120)),
                source=dict(card),
            )
        except KeyError as error:
            raise CardError(f"the model card lacks the key {error.args[0]!r}") from error
        except (TypeError, ValueError) as error:
            raise CardError(f"the model card is malformed: {error}") from error


def _code(item: Mapping[str, Any]) -> Code:
    return Code(str(item["code"]), str(item["scheme"]), str(item["meaning"]))


def _label(item: Mapping[str, Any]) -> Label:
    red, green, blue = (int(part) for part in item["colour"])
    value = int(item["value"])
    if not 1 <= value <= 255:
        raise CardError("a label's value lies from 1 to 255")
    return Label(value, str(item["name"]), _code(item["category"]), _code(item["type"]), (red, green, blue))
