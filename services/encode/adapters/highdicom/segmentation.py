"""The Segmentation (PS3.3 A.51) or Label Map Segmentation (A.95): one segment a label that has voxels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import highdicom as hd
import numpy as np
from pydicom import Dataset

from services.contracts.results import SegmentationOptions, SegmentationType
from services.contracts.tensors import LIKELY
from services.encode.adapters.highdicom.authorship import PRODUCT, Authorship
from services.encode.adapters.highdicom.evidence import note_beside
from services.encode.adapters.highdicom.source import Layout, Sources
from services.encode.adapters.highdicom.stand_ins import settle, stand_ins
from services.encode.errors import CardMismatch
from services.encode.findings import Finding, segment_planes
from services.encode.model import Kind, Task

_Types = hd.seg.SegmentationTypeValues
_MAX_BINARY = 255
"""With more segments than this, a frame for each on each plane is more than viewers bear: a label map has one."""


def build_segmentation(
    task: Task,
    findings: Sequence[Finding],
    sources: Sources,
    author: Authorship,
    options: SegmentationOptions,
) -> Dataset:
    """The SEG of a job.

    Every source instance stands in Referenced Series Sequence and Source Image Sequence; each frame names the source
    frame that it was derived from (Derivation Image Sequence, PS3.3 C.7.6.16.2.6), which is what viewers go by.

    Args:
        task: the job.
        findings: the labels; those without voxels get no segment.
        sources: the source.
        author: who made it.
        options: of the card, or of the site where the card does not say.
    """
    card = task.result.card
    segments = [finding for finding in findings if finding.number is not None]
    kind = _type(task, len(segments), options.type)
    if kind is _Types.FRACTIONAL:
        pixels: Any = _fractions(task, segments)
    elif kind is _Types.BINARY and task.result.arrays.labels is None:
        pixels = _masks(task, segments)
    else:
        pixels = segment_planes(task.result, findings)
    images = stand_ins(sources)
    if sources.layout is Layout.SLIDE:
        images, pixels = [sources.first], _by_tile(pixels, sources)
    seg: Dataset = hd.seg.Segmentation(
        source_images=images,
        pixel_array=pixels,
        segmentation_type=kind,
        max_fractional_value=255,
        segment_descriptions=[_segment(finding, number, author) for number, finding in enumerate(segments, 1)],
        content_label=code_string(card.name),
        content_description=author.text(card.title),
        content_creator_name=f"{PRODUCT}^{author.text(card.name)}",
        omit_empty_frames=bool(options.omit_empty_frames),
        **author.of_instance(Kind.SEG),
    )
    if sources.layout is not Layout.SLIDE:
        settle(seg, sources)
    note_beside(seg, sources)
    organise(seg, author)
    # A label map describes its background as well (PS3.3 C.8.20.2.3.3): last, because OHIF takes colours by place.
    seg.SegmentSequence = sorted(seg.SegmentSequence, key=lambda item: (item.SegmentNumber == 0, item.SegmentNumber))
    if sources.layout is not Layout.VOLUME:  # what there is instead of a place in the patient (PS3.3 C.7.6.1)
        seg.PatientOrientation = sources.first.get("PatientOrientation")
    author.sign(seg)
    return seg


def organise(ds: Dataset, author: Authorship) -> None:
    """Give the dimensions of a multi-frame object the name that they always have."""
    organisation = author.uid("dimension organisation")
    ds.DimensionOrganizationSequence[0].DimensionOrganizationUID = organisation
    for index in ds.get("DimensionIndexSequence") or []:
        index.DimensionOrganizationUID = organisation


def _type(task: Task, segments: int, asked: SegmentationType | None) -> hd.seg.SegmentationTypeValues:
    arrays = task.result.arrays
    match asked:
        case SegmentationType.BINARY:
            return _Types.BINARY
        case SegmentationType.LABELMAP:
            return _Types.LABELMAP
        case SegmentationType.FRACTIONAL:
            if arrays.probabilities is None:
                raise CardMismatch("its card asks for a fractional segmentation, and it has no probabilities")
            return _Types.FRACTIONAL
        case None:  # never fractional, which viewers hardly show
            many = segments > _MAX_BINARY and arrays.labels is not None
            return _Types.LABELMAP if many else _Types.BINARY


def _masks(task: Task, segments: Sequence[Finding]) -> Any:
    """Planes by rows by columns by segments: where each is likely. They may overlap."""
    probabilities = task.result.arrays.probabilities
    if probabilities is None:
        raise CardMismatch("it has neither a label map nor probabilities")
    labels = task.result.card.labels
    likely = [probabilities[labels.index(finding.label)] >= LIKELY for finding in segments]
    return np.stack(likely, axis=-1).view(np.uint8)


def _fractions(task: Task, segments: Sequence[Finding]) -> Any:
    """Planes by rows by columns by segments, 0 to 1: what highdicom takes for 0 to 255."""
    probabilities = task.result.arrays.probabilities
    if probabilities is None:
        raise CardMismatch("it has no probabilities")
    labels = task.result.card.labels
    shape = (*probabilities.shape[1:], len(segments))
    fractions = np.empty(shape, np.float32)
    for number, finding in enumerate(segments):
        np.divide(probabilities[labels.index(finding.label)], np.float32(255), out=fractions[..., number])
    return fractions


def _by_tile(pixels: Any, sources: Sources) -> Any:
    """The planes at their tiles: highdicom asks for each tile of a slide, in the slide's order."""
    tiles = np.zeros((int(sources.first.NumberOfFrames), *pixels.shape[1:]), pixels.dtype)
    for source, plane in zip(pixels, sources.planes, strict=True):
        tiles[plane.frame - 1] = source
    return tiles


def _segment(finding: Finding, number: int, author: Authorship) -> Any:
    card, label = author.task.result.card, finding.label
    uid, identifier = author.tracking(label)
    algorithm = hd.AlgorithmIdentificationSequence(
        name=author.text(card.name),
        family=author.algorithm_family,
        version=author.text(card.version),
        source=author.text(card.author),
    )
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=author.text(label.name),
        segmented_property_category=author.coded(label.category),
        segmented_property_type=author.coded(label.type),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_uid=uid,
        tracking_id=identifier,
        display_color=hd.color.CIELabColor.from_rgb(*label.colour),
    )


def code_string(name: str) -> str:
    """`name` as a Code String: capitals, digits, spaces and underscores, at most 16 (PS3.5 6.2)."""
    return re.sub(r"[^A-Z0-9 ]", "_", name.upper())[:16].strip(" ") or PRODUCT.upper()
