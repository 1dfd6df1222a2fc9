"""The model card: what a model is, on what it runs, what comes out. Read from a package's `model.yaml`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

ReadT = TypeVar("ReadT")


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
    def from_mapping(cls, card: object) -> ModelCard:
        """The card in `card`, as YAML or JSON gives it.

        Raises:
            CardError: a key is missing or of another kind.
        """
        if not isinstance(card, Mapping):
            raise CardError("the model card is malformed: keys and values are expected")
        return cls(
            **{key: str(_required(card, key)) for key in _TEXTS},
            labels=_read("labels", _labels, _required(card, "labels")),
            measurements=_read("measurements", _measurements, card.get("measurements", ())),
            timeout_seconds=_read("timeout_seconds", float, card.get("timeout_seconds", 120)),
            source=dict(card),
        )


_TEXTS = ("name", "version", "title", "author", "licence", "intended_use", "task", "selection")


def _required(card: object, key: str) -> Any:
    if not isinstance(card, Mapping):
        raise TypeError("keys and values are expected")
    if key not in card:
        raise CardError(f"the model card lacks the key {key!r}")
    return card[key]


def _read(key: str, read: Callable[[Any], ReadT], item: Any) -> ReadT:
    try:
        return read(item)
    except CardError:
        raise
    except (AttributeError, TypeError, ValueError) as error:
        raise CardError(f"the model card is malformed at the key {key!r}: {error}") from error


def _code(item: Mapping[str, Any]) -> Code:
    return Code(*(str(_required(item, key)) for key in ("code", "scheme", "meaning")))


def _measurements(items: Any) -> tuple[Measurement, ...]:
    return tuple(
        Measurement(str(_required(item, "name")), _code(_required(item, "quantity")), _code(_required(item, "unit")))
        for item in items
    )


def _labels(items: Any) -> tuple[Label, ...]:
    labels = tuple(_label(item) for item in items)
    if len({label.value for label in labels}) != len(labels):
        raise CardError("two labels of the model card have the same value")
    return labels


def _label(item: Mapping[str, Any]) -> Label:
    red, green, blue = (int(part) for part in _required(item, "colour"))
    value = int(_required(item, "value"))
    if not 1 <= value <= 255:
        raise CardError("a label's value lies from 1 to 255")
    category, kind = _code(_required(item, "category")), _code(_required(item, "type"))
    return Label(value, str(_required(item, "name")), category, kind, (red, green, blue))
