"""What a card means in tensors: in which unit and type the input comes, and which outputs the model owes.

Read by `inference`, which sends and checks them, and by whoever lays out Triton's model repository.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from services.contracts.card import CardError, CardInput, InputKind, ModelCard, ModelTask

PLACES = "places"
"""The request's parameter that names regions of shared memory to a model that our runner serves, and the output by
which that tells what it put there."""
LIKELY = 128
"""From which on a probability of 0 to 255 counts as inside."""


class Units(StrEnum):
    """What the numbers of the input are (`input.units` of the card)."""

    HU = "HU"
    """Hounsfield units (PS3.3 C.8.2.1.1.5), rounded to 16 bits."""
    STORED = "stored"
    """What the modality LUT gives (PS3.3 C.11.1), or the stored values where there is none."""
    SUV = "SUVbw"
    """Standardised uptake values by body weight, where the images hold them (Units GML, PS3.3 C.8.9.1)."""
    DISPLAY = "display"
    """0 for black to 1 for white, after modality and VOI LUT (PS3.3 C.11.2)."""
    RGB = "RGB"
    """Red, green, blue, 8 bits each, whatever the photometric interpretation is."""


class Output(StrEnum):
    """The tensors that a model may owe: the arrays of the result file."""

    LABELS = "labels"
    PROBABILITIES = "probabilities"
    MEASUREMENTS = "measurements"
    MAP = "map"
    BOXES = "boxes"
    BOX_LABELS = "box_labels"
    BOX_SCORES = "box_scores"
    CLASSES = "classes"
    IMAGE = "image"


_OF_A_TASK = {
    ModelTask.VOLUME_SEGMENTATION: (Output.LABELS,),
    ModelTask.SLICE_SEGMENTATION: (Output.LABELS,),
    ModelTask.DETECTION: (Output.BOXES,),
    ModelTask.CLASSIFICATION: (Output.CLASSES,),
    ModelTask.MEASUREMENT: (Output.MEASUREMENTS,),
    ModelTask.IMAGE_TO_IMAGE: (),
}
_BOXES = (Output.BOXES, Output.BOX_LABELS, Output.BOX_SCORES)


def units_of(card: ModelCard | CardInput) -> Units:
    """The units of an input; of a card, those of its first one.

    Raises:
        CardError: there are no such units, or not for this kind of input.
    """
    wanted = card.main_input if isinstance(card, ModelCard) else card
    try:
        units = Units(wanted.units)
    except ValueError:
        known = ", ".join(Units)
        raise CardError(f"the model card asks for input in {wanted.units!r}; known are {known}") from None
    if wanted.kind is InputKind.VOLUME and units in (Units.DISPLAY, Units.RGB):
        raise CardError(f"the model card asks for a volume in {units}; that is for image and frames")
    if wanted.kind is not InputKind.VOLUME and units in (Units.HU, Units.SUV):
        raise CardError(f"the model card asks for {wanted.kind} in {units}; that is for a volume")
    return units


def geometry_names(name: str) -> tuple[str, str, str]:
    """The tensors that tell where a further input lies: spacing and direction, and its offset from the first one."""
    return f"{name}_spacing", f"{name}_direction", f"{name}_offset"


def sample_type(units: Units) -> DTypeLike:
    """The type of an input's tensor."""
    match units:
        case Units.HU:
            return np.int16
        case Units.RGB:
            return np.uint8
        case Units.STORED | Units.SUV | Units.DISPLAY:
            return np.float32


def form(units: Units, shape: tuple[int, int, int]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Type and shape of an input's tensor; `shape`: planes, rows, columns."""
    return np.dtype(sample_type(units)), (*shape, 3) if units is Units.RGB else shape


def promised(card: ModelCard) -> tuple[Output, ...]:
    """What the model owes: what `outputs` names, else what the task and the rest of the card imply.

    Raises:
        CardError: nothing is owed, or something that the card does not describe.
    """
    named = card.source.get("outputs")
    if named is None:
        implied = (
            *_OF_A_TASK[card.task],
            *((Output.MEASUREMENTS,) if card.measurements else ()),
            *((Output.CLASSES,) if card.classes else ()),
            *((Output.MAP,) if card.map else ()),
        )
        if card.task is ModelTask.IMAGE_TO_IMAGE and card.map is None:
            implied = (*implied, Output.IMAGE)
        owed = set(implied)
    else:
        try:
            owed = {Output(str(name)) for name in named}
        except (TypeError, ValueError):
            known = ", ".join(Output)
            raise CardError(f"the model card names outputs that are not known; known are {known}") from None
    if owed & set(_BOXES):
        owed |= set(_BOXES)
    if not owed:
        raise CardError("the model card promises no output")
    for output, described, key in (
        (Output.LABELS, card.labels, "labels"),
        (Output.PROBABILITIES, card.labels, "labels"),
        (Output.BOXES, card.labels, "labels"),
        (Output.MEASUREMENTS, card.measurements, "measurements"),
        (Output.CLASSES, card.classes, "classes"),
        (Output.MAP, card.map, "map"),
    ):
        if output in owed and not described:
            raise CardError(f"the model card promises the output {output} and lacks the key {key!r}")
    return tuple(output for output in Output if output in owed)


def label_type(card: ModelCard) -> DTypeLike:
    """The type of the tensor `labels`: 16 bits only where a label's value needs them."""
    return np.uint16 if max((label.value for label in card.labels), default=0) > 255 else np.uint8
