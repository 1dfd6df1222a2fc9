"""What a report (PS3.16 TID 1500) says of a map or an image that the model made: that it is there, by which algorithm.

A result whose answer is an image has nothing to measure and nothing to code. Its report is the root that leads to it
(IHE AIR wants one for a set of results): a group (TID 1501) with the image as Source of Measurement.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from highdicom import sr
from pydicom import Dataset

from services.encode.adapters.highdicom.authorship import Authorship
from services.encode.model import Kind


def algorithm(author: Authorship) -> Any:
    """Which algorithm it was (TID 4019)."""
    card = author.task.result.card
    return sr.AlgorithmIdentification(name=author.text(card.name), version=author.text(card.version))


def answers(made: Mapping[Kind, Sequence[Dataset]], author: Authorship) -> list[Any]:
    """A group for the map and one for the image of a result, where they became objects.

    Args:
        made: the other documents of the job.
        author: who made them.
    """
    card, arrays = author.task.result.card, author.task.result.arrays
    captures = made.get(Kind.SC, ())
    groups = []
    if arrays.map is not None and card.map is not None:
        groups.append(_group("map", card.map.name, made.get(Kind.PM) or captures, author))
    if arrays.image is not None:
        groups.append(_group("image", card.title, captures[: len(arrays.image)], author))
    return [group for group in groups if group is not None]


def _group(what: str, name: str, images: Sequence[Dataset], author: Authorship) -> Any:
    if not images:
        return None
    card, series = author.task.result.card, author.task.original.series_instance_uid
    return sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(
            uid=author.task.names.finding(series, card.name, what), identifier=author.text(f"{name} ({card.name})")
        ),
        algorithm_id=algorithm(author),
        source_images=[sr.SourceImageForMeasurementGroup(ds.SOPClassUID, ds.SOPInstanceUID) for ds in images],
    )
