"""What a package of kind `onnx` or `torchscript` declares instead of code: the card's block `processing`, checked.

Every key that is not known is refused by its name: a misspelt one would silently change what the network sees.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from math import isfinite
from pathlib import PurePosixPath
from typing import Any

from services.contracts.boxes import Boxes, BoxSource, boxes_of
from services.contracts.card import CardError, InputKind, ModelCard, ModelTask, PackageKind
from services.contracts.tensors import Output, Units, promised, units_of

DECLARED = (PackageKind.ONNX, PackageKind.TORCHSCRIPT)
"""The kinds whose packages hold weights and no code."""


class Activation(StrEnum):
    """What becomes of the network's output."""

    NONE = "none"
    ARGMAX = "argmax"
    SOFTMAX = "softmax"
    SIGMOID = "sigmoid"
    THRESHOLD = "threshold"


class Blend(StrEnum):
    """How much a voxel of a window counts where windows overlap."""

    GAUSSIAN = "gaussian"
    CONSTANT = "constant"


class Measure(StrEnum):
    """What can be measured without code, one for each column of the card's `measurements`."""

    VOLUME_ML = "volume-ml"
    AREA_MM2 = "area-mm2"
    VOXELS = "voxels"
    MEAN = "mean"
    STANDARD_DEVIATION = "standard-deviation"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"


_STEPS: Mapping[str, tuple[str, ...]] = {
    "clip": ("low", "high"),
    "window": ("centre", "width"),
    "scale": ("low", "high", "to_low", "to_high"),
    "normalise": ("mean", "std"),
    "zscore": ("over",),
    "minmax": ("to_low", "to_high"),
    "percentiles": ("low", "high", "to_low", "to_high"),
}
"""The steps of `intensity`, each with its parameters."""
_DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "scale": {"to_low": 0.0, "to_high": 1.0},
    "zscore": {"over": "all"},
    "minmax": {"to_low": 0.0, "to_high": 1.0},
    "percentiles": {"low": 1.0, "high": 99.0, "to_low": 0.0, "to_high": 1.0},
}
_KEYS = {
    "network", "dimensions", "axes", "spacing", "channels", "intensity", "size", "window", "pad", "activation",
    "threshold", "channel_labels", "largest_component", "minimum_ml", "measure",
    "boxes",
}  # fmt: skip
_AXES = ({"L", "R"}, {"A", "P"}, {"S", "I"})
_MOST_VOXELS = 512**3


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window: its size in voxels, which share of it the next one covers again, and how they are blended."""

    size: tuple[int, ...]
    overlap: float
    blend: Blend


@dataclass(frozen=True, slots=True)
class Processing:
    """The block `processing`.

    Attributes:
        network: the file, in the package.
        dimensions: 3: the network sees a volume; 2: one plane after the other.
        axes: for each axis of the network's volume the side of the patient to which it runs; empty: as acquired.
        spacing: mm along these axes; None: as acquired.
        channels: of the network's input; grey values are repeated.
        intensity: steps, in order, each a name with parameters.
        size: the whole input is resized to this; None: as it is, or by windows.
        pad: what lies outside the image, after `intensity`.
        threshold: from which output on a label is set (sigmoid, threshold).
        channel_labels: for each channel of the output the label's value, 0 for none.
        largest_component: label values of which only the largest piece stays.
        minimum_ml: pieces of labels that are smaller are dropped.
        measure: one for each of the card's measurements.
        boxes: how boxes come out, of a card that promises them.
    """

    network: str
    dimensions: int
    axes: str
    spacing: tuple[float, ...] | None
    channels: int
    intensity: tuple[tuple[str, Mapping[str, Any]], ...]
    size: tuple[int, ...] | None
    window: Window | None
    pad: float
    activation: Activation
    threshold: float
    channel_labels: tuple[int, ...]
    largest_component: tuple[int, ...]
    minimum_ml: float
    measure: tuple[Measure, ...]
    boxes: Boxes | None

    def plain(self) -> dict[str, Any]:
        """As JSON: what the runner in Triton reads, every key there."""
        return asdict(self)


def processing_of(card: ModelCard) -> Processing | None:
    """The block of a card whose kind has one, else None.

    Raises:
        CardError: it lacks something, or says something that cannot be; the text names the key.
    """
    if card.kind not in DECLARED:
        return None
    if card.more_inputs:
        raise CardError(f"a package of kind {card.kind} takes one input; use the kind tool, application or triton")
    block = card.source.get("processing")
    if not isinstance(block, Mapping):
        raise CardError(f"the model card lacks the key 'processing', which a package of kind {card.kind} needs")
    strange = sorted(set(map(str, block)) - _KEYS)
    if strange:
        raise CardError(f"the model card's processing has keys that are not known: {', '.join(strange)}")
    made = Processing(
        network=_read("network", _file, block.get("network", f"network.{_suffix(card.kind)}")),
        dimensions=_read("dimensions", _dimensions, block.get("dimensions", 3)),
        axes=_read("axes", _axes, block.get("axes", "")),
        spacing=_read("spacing", _positive, block.get("spacing")),
        channels=_read("channels", _channels, block.get("channels", 3 if card.units == Units.RGB else 1)),
        intensity=_read("intensity", lambda steps: tuple(map(_step, steps)), block.get("intensity", ())),
        size=_read("size", _sizes, block.get("size")),
        window=_read("window", _window, block.get("window")),
        pad=_read("pad", _number, block.get("pad", 0)),
        activation=_read("activation", Activation, block.get("activation", _usual(card, block.get("boxes")))),
        threshold=_read("threshold", _number, block.get("threshold", 0.5)),
        channel_labels=_read("channel_labels", _values, block.get("channel_labels", ())),
        largest_component=_read("largest_component", lambda item: _largest(item, card), block.get("largest_component")),
        minimum_ml=_read("minimum_ml", _number, block.get("minimum_ml", 0)),
        measure=_read("measure", lambda items: tuple(map(Measure, items)), block.get("measure", ())),
        boxes=_read("boxes", lambda item: boxes_of(item, int(block.get("dimensions", 3))), block.get("boxes")),
    )
    made = _with_labels(made, card)
    _check(made, card)
    return made


def _suffix(kind: PackageKind) -> str:
    return "onnx" if kind is PackageKind.ONNX else "pt"


def _usual(card: ModelCard, boxes: Any) -> Activation:
    match card.task:
        case ModelTask.VOLUME_SEGMENTATION | ModelTask.SLICE_SEGMENTATION:
            return Activation.ARGMAX
        case ModelTask.CLASSIFICATION:
            return Activation.SOFTMAX
        case ModelTask.DETECTION if isinstance(boxes, Mapping) and boxes.get("from", "map") == BoxSource.MAP:
            return Activation.SIGMOID
        case _:
            return Activation.NONE


def _with_labels(made: Processing, card: ModelCard) -> Processing:
    """Channels mean the labels in the card's order; before them, with argmax and softmax, comes the background."""
    if made.channel_labels or not card.labels:
        return made
    values = tuple(label.value for label in card.labels)
    competing = made.activation in (Activation.ARGMAX, Activation.SOFTMAX)
    fields = {name: getattr(made, name) for name in made.__slots__}
    return Processing(**{**fields, "channel_labels": (0, *values) if competing else values})


def _check(made: Processing, card: ModelCard) -> None:
    rank = made.dimensions
    owed = promised(card)
    rows = made.boxes is not None and made.boxes.source is BoxSource.ROWS
    spatial = bool({Output.LABELS, Output.PROBABILITIES, Output.MAP, Output.IMAGE} & set(owed)) or (
        made.boxes is not None and not rows
    )
    labels = {label.value for label in card.labels}
    for wrong, why in (
        (
            (Output.BOXES in owed) is not (made.boxes is not None),
            "a promise of boxes and the key 'boxes' belong together",
        ),
        (
            rows and set(owed) - {Output.BOXES, Output.BOX_LABELS, Output.BOX_SCORES},
            "'boxes' from rows leave no other output",
        ),
        (
            rows and made.activation not in (Activation.NONE, Activation.SIGMOID),
            "'boxes' from rows take the activation none or sigmoid, of their scores",
        ),
        (
            made.boxes and not rows and made.activation is Activation.ARGMAX,
            "'boxes' from a map need probabilities, and argmax has none; use softmax, sigmoid or threshold",
        ),
        (made.size and made.window, "has both 'size' and 'window'; one of them is enough"),
        (made.size and len(made.size) != rank, f"'size' needs {rank} numbers"),
        (made.window and len(made.window.size) != rank, f"'window' needs a size of {rank} numbers"),
        (made.spacing and len(made.spacing) != 3, "'spacing' needs 3 numbers, in the order of 'axes'"),
        (
            (made.axes or made.spacing) and card.input is not InputKind.VOLUME,
            "'axes' and 'spacing' are for a volume; use 'size'",
        ),
        (made.window and not spatial and not rows, "has a 'window', and no output that covers the image"),
        (set(made.channel_labels) - {0} - labels, "'channel_labels' has values that are no labels of the card"),
        (set(made.largest_component) - labels, "'largest_component' has values that are no labels of the card"),
        (
            spatial and card.labels and made.activation is Activation.NONE,
            "needs an 'activation' that makes labels: argmax, softmax, sigmoid or threshold",
        ),
        (
            Output.PROBABILITIES in owed and made.activation is Activation.ARGMAX,
            "promises probabilities, and argmax has none; use softmax or sigmoid",
        ),
        (
            spatial and card.labels and Output.MEASUREMENTS in owed and len(made.measure) != len(card.measurements),
            f"'measure' needs one entry for each of the {len(card.measurements)} measurements",
        ),
        (units_of(card) is Units.RGB and made.channels != 3, "input in RGB needs 'channels: 3'"),
    ):
        if wrong:
            raise CardError(f"the model card's processing cannot be: {why}")


def _read(key: str, read: Callable[[Any], Any], item: Any) -> Any:
    if item is None and key in ("spacing", "size", "window", "boxes"):
        return None
    try:
        return read(item)
    except CardError:
        raise
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        raise CardError(f"the model card is malformed at the key 'processing.{key}': {error}") from error


def _number(item: Any) -> float:
    value = float(item)
    if isinstance(item, bool) or not isfinite(value):
        raise ValueError("a finite number is expected")
    return value


def _file(item: Any) -> str:
    path = PurePosixPath(str(item))
    if path.is_absolute() or ".." in path.parts or not path.name:
        raise ValueError("a file in the package is expected")
    return str(path)


def _dimensions(item: Any) -> int:
    if item not in (2, 3):
        raise ValueError("2 or 3 is expected")
    return int(item)


def _channels(item: Any) -> int:
    if item not in (1, 3):
        raise ValueError("1 or 3 is expected")
    return int(item)


def _axes(item: Any) -> str:
    letters = str(item).upper()
    if letters and (len(letters) != 3 or any(sum(letter in pair for letter in letters) != 1 for pair in _AXES)):
        raise ValueError("three letters are expected, one each of L or R, A or P, S or I")
    return letters


def _positive(items: Any) -> tuple[float, ...]:
    values = tuple(_number(item) for item in items)
    if not values or min(values) <= 0:
        raise ValueError("positive numbers are expected")
    return values


def _sizes(items: Any) -> tuple[int, ...]:
    values = tuple(int(item) for item in items)
    voxels = 1
    for value in values:
        voxels *= value
    if not values or min(values) < 1 or voxels > _MOST_VOXELS:
        raise ValueError("a size in voxels is expected")
    return values


def _values(items: Any) -> tuple[int, ...]:
    return tuple(int(item) for item in items)


def _window(item: Any) -> Window:
    strange = set(item) - {"size", "overlap", "blend"}
    if strange:
        raise ValueError(f"keys that are not known: {', '.join(sorted(map(str, strange)))}")
    overlap = _number(item.get("overlap", 0.25))
    if not 0 <= overlap < 0.9:
        raise ValueError("an overlap from 0 to 0.9 is expected")
    return Window(_sizes(item["size"]), overlap, Blend(item.get("blend", Blend.GAUSSIAN)))


def _largest(item: Any, card: ModelCard) -> tuple[int, ...]:
    if item is None or item is False:
        return ()
    return tuple(label.value for label in card.labels) if item is True else _values(item)


def _step(item: Any) -> tuple[str, Mapping[str, Any]]:
    ((name, parameters),) = item.items()
    if name not in _STEPS:
        raise ValueError(f"the step {name} is not known; known are {', '.join(_STEPS)}")
    given = {**_DEFAULTS.get(name, {}), **dict(parameters or {})}
    if set(given) != set(_STEPS[name]):
        raise ValueError(f"the step {name} takes {', '.join(_STEPS[name])}")
    if name == "zscore":
        if given["over"] not in ("all", "nonzero"):
            raise ValueError("the step zscore is over: all or nonzero")
        return name, given
    if name == "normalise":
        given = {key: [_number(one) for one in _listed(value)] for key, value in given.items()}
        if min(given["std"]) <= 0:
            raise ValueError("the step normalise needs a positive std")
        return name, given
    given = {key: _number(value) for key, value in given.items()}
    if ("low" in given and given["low"] >= given["high"]) or given.get("width", 1) <= 0:
        raise ValueError(f"the step {name} has an empty range")
    return name, given


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
