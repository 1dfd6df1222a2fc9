"""Which objects a result becomes: what its card asks for, else what fits what the model said."""

from __future__ import annotations

from collections.abc import Mapping

from services.contracts.card import InputKind, ResultKind
from services.encode.findings import key_planes
from services.encode.result import InferredResult

ORDER = (
    ResultKind.SEG,
    ResultKind.PM,
    ResultKind.SC,
    ResultKind.GSPS,
    ResultKind.BLEND,
    ResultKind.STL,
    ResultKind.KO,
    ResultKind.PDF,
    ResultKind.SR,
)
"""The order in which they are made and stored: the report comes last and refers to all others."""

MAX_PICTURES = 3

SOP_CLASSES: Mapping[ResultKind, tuple[str, ...]] = {
    ResultKind.SEG: ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"),
    ResultKind.PM: ("1.2.840.10008.5.1.4.1.1.30",),
    ResultKind.SC: ("1.2.840.10008.5.1.4.1.1.7",),
    ResultKind.GSPS: ("1.2.840.10008.5.1.4.1.1.11.1", "1.2.840.10008.5.1.4.1.1.11.2"),
    ResultKind.BLEND: ("1.2.840.10008.5.1.4.1.1.11.8",),
    ResultKind.STL: ("1.2.840.10008.5.1.4.1.1.104.3",),
    ResultKind.KO: ("1.2.840.10008.5.1.4.1.1.88.59",),
    ResultKind.PDF: ("1.2.840.10008.5.1.4.1.1.104.1",),
    ResultKind.SR: ("1.2.840.10008.5.1.4.1.1.88.34",),
}
"""What we create, by kind. A colour source gets a colour presentation state; more than 255 segments, a label map."""


def kinds_of(result: InferredResult) -> tuple[ResultKind, ...]:
    """The kinds of objects to make, in the order in which they are made.

    Labels or probabilities become a SEG, a map becomes a PM, an image becomes an SC; and the SR says what can be coded
    (labels, boxes, classes, measurements) and leads to all of them. A kind that needs what the result has not, such as
    an STL without a label map, comes to nothing; if all do, the SR says that nothing was found.
    A map in colour over the images (BLEND) brings the PM that it shows, asked for or not.
    """
    arrays = result.arrays
    # A Parametric Map has a frame of reference (PS3.3 A.75.3): over a projection it is shown as a picture instead.
    volume = result.card.input is InputKind.VOLUME
    mapped = ResultKind.PM if volume else ResultKind.SC
    if result.card.results:
        kinds = set(result.card.results)
        shown = {ResultKind.PM, ResultKind.BLEND}
        if ResultKind.BLEND in kinds or (kinds & shown and not volume):
            kinds.add(mapped)
        if not volume:
            kinds -= shown
        return tuple(kind for kind in ORDER if kind in kinds)
    kinds = {ResultKind.SR}
    if arrays.labels is not None or arrays.probabilities is not None:
        kinds.add(ResultKind.SEG)
    if arrays.map is not None:
        kinds.add(mapped)
    if arrays.image is not None:
        kinds.add(ResultKind.SC)
    return tuple(kind for kind in ORDER if kind in kinds)


def carries(result: InferredResult, kind: ResultKind) -> bool:
    """Whether what the model said stands in this kind of object, so that without it the job has not done its work.

    All others show once more what stands in these: a source that cannot carry one of them loses a view, no finding.
    """
    match kind:
        case ResultKind.SEG | ResultKind.PM | ResultKind.SR:
            return True
        case ResultKind.SC:  # the model's image itself, or a map that no Parametric Map can hold
            flat_map = result.arrays.map is not None and result.card.input is not InputKind.VOLUME
            return result.arrays.image is not None or flat_map
        case ResultKind.GSPS | ResultKind.BLEND | ResultKind.STL | ResultKind.KO | ResultKind.PDF:
            return False


def pictures_of(result: InferredResult) -> tuple[int, ...]:
    """The planes to draw key pictures of; where nothing was found, the middle one. None when nobody wants any."""
    kinds = kinds_of(result)
    drawn = ResultKind.PDF in kinds or (ResultKind.SC in kinds and draws_pictures(result))
    return (key_planes(result, MAX_PICTURES) or (len(result.frames) // 2,)) if drawn else ()


def draws_pictures(result: InferredResult) -> bool:
    """Whether the SC of a result are pictures of ours, and not only the image that the model made."""
    flat_map = result.arrays.map is not None and result.card.input is not InputKind.VOLUME
    return result.arrays.image is None or flat_map
