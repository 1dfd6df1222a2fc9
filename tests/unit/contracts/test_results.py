"""What a card asks of its results, checked when the card is read."""

from __future__ import annotations

from typing import Any

import pytest

from services.contracts.card import CardError, ModelCard, ResultKind
from services.contracts.results import (
    BlendingOptions,
    Palette,
    SegmentationOptions,
    SegmentationType,
    blending_options,
    check_results,
    segmentation_options,
)
from tests.unit.contracts.test_card import CARD, CODE

MAP = {"name": "uptake", "quantity": CODE, "unit": CODE}


def asking(results: dict[str, Any], **changed: Any) -> ModelCard:
    return ModelCard.from_mapping({**CARD, "map": MAP, **changed, "results": results})


def test_options_are_read_and_what_is_not_said_is_as_usual() -> None:
    every = asking({kind: {} for kind in ResultKind})
    check_results(every)
    assert (segmentation_options(every), blending_options(every)) == (SegmentationOptions(), BlendingOptions())
    asked = asking(
        {"seg": {"type": "LabelMap", "omit_empty_frames": False}, "blend": {"palette": "pet", "opacity": 0.5}}
    )
    check_results(asked)
    assert segmentation_options(asked) == SegmentationOptions(SegmentationType.LABELMAP, omit_empty_frames=False)
    assert blending_options(asked) == BlendingOptions(Palette.PET, 0.5)
    check_results(asking({"SEG": {"type": "fractional"}}, outputs=["probabilities"]))


@pytest.mark.parametrize(
    ("results", "changed", "named"),
    [
        ({"SEG": {"typ": "binary"}}, {}, r"SEG\.typ; known are type, omit_empty_frames"),
        ({"PDF": {"pictures": 2}}, {}, r"PDF\.pictures; PDF has none"),
        ({"SEG": {"type": "cube"}}, {}, r"results\.SEG\.type.*binary, fractional, labelmap"),
        ({"SEG": {"type": "fractional"}}, {}, r"fractional SEG.*probabilities"),
        ({"SEG": {"omit_empty_frames": "no"}}, {}, r"results\.SEG\.omit_empty_frames"),
        ({"BLEND": {"palette": "RAINBOW"}}, {}, r"results\.BLEND\.palette.*HOT_IRON"),
        ({"BLEND": {"opacity": 1}}, {}, r"results\.BLEND\.opacity"),
        ({"BLEND": {"opacity": True}}, {}, r"results\.BLEND\.opacity"),
        ({"BLEND": {"opacity": "half"}}, {}, r"results\.BLEND\.opacity"),
        ({"BLEND": {}}, {"map": None}, r"BLEND.*'map'"),
        ({"PM": {}}, {"map": None}, r"PM.*'map'"),
        ({"STL": {}}, {"task": "classification", "labels": []}, r"STL.*'labels'"),
    ],
)
def test_what_cannot_be_is_refused_by_its_name(results: dict[str, Any], changed: dict[str, Any], named: str) -> None:
    with pytest.raises(CardError, match=named):
        check_results(asking(results, **changed))
