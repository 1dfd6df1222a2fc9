"""The model card: what a model is, on what it runs, what comes out. Read from a package's `model.yaml`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from services.contracts.schedule import Schedule, read_schedule

ReadT = TypeVar("ReadT")


class CardError(ValueError):
    """The card lacks something or says something impossible; the message names the key."""


class PackageKind(StrEnum):
    """Who wrote what of a model, and so how it is run. All but the last are served by Triton."""

    TRITON = "triton"
    """The package holds a Triton model of its own, with the tensors of `models/README.md`."""
    ONNX = "onnx"
    TORCHSCRIPT = "torchscript"
    MONAI_BUNDLE = "monai-bundle"
    TOOL = "tool"
    APPLICATION = "application"
    EXTERNAL = "external"
    """Somebody else's performer claims the work item, or a remote KServe v2 server runs it."""


class ModelTask(StrEnum):
    """What a model does."""

    VOLUME_SEGMENTATION = "volume-segmentation"
    SLICE_SEGMENTATION = "slice-segmentation"
    DETECTION = "detection"
    CLASSIFICATION = "classification"
    MEASUREMENT = "measurement"
    IMAGE_TO_IMAGE = "image-to-image"


class RulePriority(StrEnum):
    """How urgent what the rule brings is."""

    STAT = "stat"
    ROUTINE = "routine"
    LOW = "low"


class InputKind(StrEnum):
    """What a series has to be."""

    VOLUME = "volume"
    """Single-frame or enhanced multi-frame slices that stack up evenly."""
    IMAGE = "image"
    """One projection image: CR, DX, MG."""
    FRAMES = "frames"
    """Frames over time of one plane: US, XA, RF."""


class InputFrom(StrEnum):
    """Where a further series is looked for."""

    SAME_STUDY = "same-study"
    EARLIER_STUDIES = "earlier-studies"
    """Of the same patient; the newest that has one."""


class ResultKind(StrEnum):
    """The DICOM objects that a result can become."""

    SEG = "SEG"
    SR = "SR"
    PM = "PM"
    SC = "SC"
    GSPS = "GSPS"
    PDF = "PDF"
    STL = "STL"
    KO = "KO"
    BLEND = "BLEND"
    """The map in colour over the images: an Advanced Blending Presentation State."""


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
class Finding:
    """One entry of the tensor `classes`: what the model may say of the whole input, with a probability.

    Attributes:
        threshold: from which probability it is said to be there.
    """

    name: str
    type: Code
    threshold: float


@dataclass(frozen=True, slots=True)
class ValueMap:
    """What the numbers of the tensor `map` are (Real World Value Mapping, PS3.3 C.7.6.16.2.11)."""

    name: str
    quantity: Code
    unit: Code


@dataclass(frozen=True, slots=True)
class CardInput:
    """One series that the model takes: its tensor is called `name`.

    Attributes:
        kind: what the series has to be.
        units: of its values.
        selection: which series it is: CEL over `series`, as in the card's own rule.
        source: where it is looked for; of the first input it says nothing.
        required: the model does not run without it.
    """

    name: str
    kind: InputKind
    units: str
    selection: str
    source: InputFrom = InputFrom.SAME_STUDY
    required: bool = True


MAIN_INPUT = "volume"
"""The first input: the series that the rule selects, on whose grid everything that comes out lies."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model package's card, checked."""

    name: str
    version: str
    title: str
    author: str
    licence: str
    intended_use: str
    task: ModelTask
    selection: str
    """Which series it takes: CEL over `series`: its DICOM keywords, and `instances`."""
    automatic: bool
    """Whether it runs on each such series as it comes; else where somebody asks for it."""
    priority: RulePriority
    """Of the jobs that the rule brings; who asks for a run says its own."""
    schedule: Schedule | None
    """When they may begin; at once where there is none."""
    labels: tuple[Label, ...]
    measurements: tuple[Measurement, ...]
    timeout_seconds: float
    kind: PackageKind
    input: InputKind
    units: str
    """Of the input's values: `HU`, or `stored` for what the modality LUT gives."""
    more_inputs: tuple[CardInput, ...]
    """Further series, such as a prior; most models take none."""
    classes: tuple[Finding, ...]
    map: ValueMap | None
    results: Mapping[ResultKind, Mapping[str, Any]]
    """The objects to make, with options; empty: what fits the outputs."""
    source: Mapping[str, Any]
    """The card as it was read, for the result file."""

    @property
    def served(self) -> str:
        """The name under which Triton serves this very version: several versions of a model are loaded at a time."""
        return f"{self.name}-{self.version}"

    @property
    def main_input(self) -> CardInput:
        """The series that the rule selects."""
        return CardInput(MAIN_INPUT, self.input, self.units, self.selection)

    @classmethod
    def from_mapping(cls, card: object) -> ModelCard:
        """The card in `card`, as YAML or JSON gives it.

        Raises:
            CardError: a key is missing or of another kind.
        """
        if not isinstance(card, Mapping):
            raise CardError("the model card is malformed: keys and values are expected")
        made = cls(
            **{key: str(_required(card, key)) for key in _TEXTS},
            task=_read("task", ModelTask, _required(card, "task")),
            automatic=_read("automatic", _yes_or_no, card.get("automatic", True)),
            priority=_read("priority", RulePriority, card.get("priority", RulePriority.ROUTINE)),
            schedule=_read("schedule", read_schedule, card["schedule"]) if card.get("schedule") else None,
            labels=_read("labels", _labels, card.get("labels", ())),
            measurements=_read("measurements", _measurements, card.get("measurements", ())),
            timeout_seconds=_read("timeout_seconds", float, card.get("timeout_seconds", 120)),
            kind=_read("kind", PackageKind, card.get("kind", PackageKind.TRITON)),
            input=_read("input", lambda item: InputKind(item.get("kind", InputKind.VOLUME)), card.get("input", {})),
            units=_read("input", lambda item: str(item.get("units", "stored")), card.get("input", {})),
            more_inputs=_read("more_inputs", lambda items: _inputs(items, card), card.get("more_inputs", ())),
            classes=_read("classes", _classes, card.get("classes", ())),
            map=_read("map", _map, card.get("map")),
            results=_read("results", _results, card.get("results", {})),
            source=dict(card),
        )
        if made.task in (ModelTask.VOLUME_SEGMENTATION, ModelTask.SLICE_SEGMENTATION) and not made.labels:
            raise CardError("the model card lacks the key 'labels'")
        return made


_TEXTS = ("name", "version", "title", "author", "licence", "intended_use", "selection")


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


def _yes_or_no(item: Any) -> bool:
    if not isinstance(item, bool):
        raise TypeError("true or false is expected")
    return item


def _code(item: Mapping[str, Any]) -> Code:
    return Code(*(str(_required(item, key)) for key in ("code", "scheme", "meaning")))


def _measurements(items: Any) -> tuple[Measurement, ...]:
    return tuple(
        Measurement(str(_required(item, "name")), _code(_required(item, "quantity")), _code(_required(item, "unit")))
        for item in items
    )


def _classes(items: Any) -> tuple[Finding, ...]:
    return tuple(
        Finding(str(_required(item, "name")), _code(_required(item, "type")), float(item.get("threshold", 0.5)))
        for item in items
    )


def _map(item: Any) -> ValueMap | None:
    if item is None:
        return None
    return ValueMap(str(_required(item, "name")), _code(_required(item, "quantity")), _code(_required(item, "unit")))


def _results(items: Any) -> Mapping[ResultKind, Mapping[str, Any]]:
    return {ResultKind(str(kind).upper()): dict(options or {}) for kind, options in items.items()}


_INPUT_KEYS = {"name", "kind", "units", "selection", "from", "required"}
_INPUT_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_MOST_INPUTS = 7
_TAKEN = frozenset(
    f"{MAIN_INPUT} spacing direction offset labels probabilities measurements map boxes box_labels box_scores classes"
    " image array metadata job answer words".split()
)
"""Names of other tensors, and of files beside them."""


def _inputs(items: Any, card: Mapping[str, Any]) -> tuple[CardInput, ...]:
    inputs = tuple(_input(item, card) for item in items)
    names = [one.name for one in inputs]
    if len(set(names)) != len(names):
        raise CardError("two inputs of the model card have the same name")
    if len(inputs) > _MOST_INPUTS:
        raise CardError(f"the model card has more than {_MOST_INPUTS} further inputs")
    return inputs


def _input(item: Any, card: Mapping[str, Any]) -> CardInput:
    name = str(_required(item, "name"))
    if not _INPUT_NAME.fullmatch(name) or name in _TAKEN or name.endswith(("_spacing", "_direction", "_offset")):
        raise CardError(f"an input of the model card cannot be called {name!r}: it is the name of a tensor")
    if strange := sorted(set(map(str, item)) - _INPUT_KEYS):
        raise CardError(f"the input {name} of the model card has keys that are not known: {', '.join(strange)}")
    first = card.get("input") or {}
    return CardInput(
        name,
        InputKind(item.get("kind", first.get("kind", InputKind.VOLUME))),
        str(item.get("units", first.get("units", "stored"))),
        str(item.get("selection", card.get("selection", ""))),
        InputFrom(item.get("from", InputFrom.SAME_STUDY)),
        _yes_or_no(item.get("required", True)),
    )


def _labels(items: Any) -> tuple[Label, ...]:
    labels = tuple(_label(item) for item in items)
    if len({label.value for label in labels}) != len(labels):
        raise CardError("two labels of the model card have the same value")
    return labels


def _label(item: Mapping[str, Any]) -> Label:
    red, green, blue = (int(part) for part in _required(item, "colour"))
    value = int(_required(item, "value"))
    if not 1 <= value <= 65535:
        raise CardError("a label's value lies from 1 to 65535")
    category, kind = _code(_required(item, "category")), _code(_required(item, "type"))
    return Label(value, str(_required(item, "name")), category, kind, (red, green, blue))
