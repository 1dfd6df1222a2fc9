"""What a card asks of its results: the card's block `results`, checked.

Every option that is not known is refused by its name: a misspelt one would silently make another object.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from services.contracts.card import CardError, ModelCard, ResultKind
from services.contracts.tensors import Output, promised

ReadT = TypeVar("ReadT")
UsualT = TypeVar("UsualT")


class SegmentationType(StrEnum):
    """The Segmentation Types (PS3.3 C.8.20.2)."""

    BINARY = "binary"
    FRACTIONAL = "fractional"
    LABELMAP = "labelmap"


class Palette(StrEnum):
    """Those of PS3.6 Annex B whose tables are not segmented, which a presentation state may not hold."""

    HOT_IRON = "HOT_IRON"
    PET = "PET"
    HOT_METAL_BLUE = "HOT_METAL_BLUE"
    PET_20_STEP = "PET_20_STEP"


@dataclass(frozen=True, slots=True)
class SegmentationOptions:
    """Of a SEG.

    Attributes:
        type: None: binary, or a label map where there are too many segments.
        omit_empty_frames: whether frames without a voxel are left out; None: as the site does.
    """

    type: SegmentationType | None = None
    omit_empty_frames: bool | None = None


@dataclass(frozen=True, slots=True)
class BlendingOptions:
    """Of a BLEND.

    Attributes:
        palette: in which the map is shown.
        opacity: of the map, above 0 and below 1; with the default the anatomy under it stays legible.
    """

    palette: Palette = Palette.HOT_IRON
    opacity: float = 0.4


_KEYS: Mapping[ResultKind, tuple[str, ...]] = {
    ResultKind.SEG: ("type", "omit_empty_frames"),
    ResultKind.BLEND: ("palette", "opacity"),
}
"""The options of each kind that has some."""


def segmentation_options(card: ModelCard) -> SegmentationOptions:
    """How the card wants its SEG.

    Raises:
        CardError: an option has a value that cannot be; the text names it.
    """
    return SegmentationOptions(
        _read(card, ResultKind.SEG, "type", _segmentation, None),
        _read(card, ResultKind.SEG, "omit_empty_frames", _yes_or_no, None),
    )


def blending_options(card: ModelCard) -> BlendingOptions:
    """How the card wants its BLEND.

    Raises:
        CardError: an option has a value that cannot be; the text names it.
    """
    usual = BlendingOptions()
    return BlendingOptions(
        _read(card, ResultKind.BLEND, "palette", _palette, usual.palette),
        _read(card, ResultKind.BLEND, "opacity", _opacity, usual.opacity),
    )


def check_results(card: ModelCard) -> None:
    """Refuse a card whose results can never be as it wants them.

    Raises:
        CardError: an option is not known or cannot be, or a kind is asked for that the model has nothing for; the text
            names it.
    """
    for kind, given in card.results.items():
        known = _KEYS.get(kind, ())
        if strange := sorted(set(map(str, given)) - set(known)):
            named = ", ".join(f"{kind}.{key}" for key in strange)
            told = f"known are {', '.join(known)}" if known else f"{kind} has none"
            raise CardError(f"the model card's results have options that are not known: {named}; {told}")
    for kind, described, key in (
        (ResultKind.SEG, card.labels, "labels"),
        (ResultKind.STL, card.labels, "labels"),
        (ResultKind.PM, card.map, "map"),
        (ResultKind.BLEND, card.map, "map"),
    ):
        if kind in card.results and not described:
            raise CardError(f"the model card asks for the result {kind} and lacks the key {key!r}")
    blending_options(card)
    fractional = segmentation_options(card).type is SegmentationType.FRACTIONAL
    if fractional and Output.PROBABILITIES not in promised(card):
        raise CardError("the model card asks for a fractional SEG and does not name probabilities in its 'outputs'")


def _read(card: ModelCard, kind: ResultKind, key: str, read: Callable[[Any], ReadT], usual: UsualT) -> ReadT | UsualT:
    given = card.results.get(kind, {})
    if key not in given:
        return usual
    try:
        return read(given[key])
    except ValueError as error:
        raise CardError(f"the model card is malformed at the key 'results.{kind}.{key}': {error}") from error


def _segmentation(item: Any) -> SegmentationType:
    if str(item).lower() not in set(SegmentationType):
        raise ValueError(f"one of {', '.join(SegmentationType)} is expected")
    return SegmentationType(str(item).lower())


def _yes_or_no(item: Any) -> bool:
    if not isinstance(item, bool):
        raise ValueError("true or false is expected")
    return item


def _palette(item: Any) -> Palette:
    if str(item).upper() not in set(Palette):
        raise ValueError(f"one of {', '.join(Palette)} is expected")
    return Palette(str(item).upper())


def _opacity(item: Any) -> float:
    if isinstance(item, bool) or not isinstance(item, int | float) or not 0 < item < 1:
        raise ValueError("a number above 0 and below 1 is expected")
    return float(item)
