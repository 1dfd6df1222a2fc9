"""The Segmentation (PS3.3 A.51): one binary segment a label that has voxels, on the planes of the source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import highdicom as hd
from pydicom import Dataset

from services.encode.adapters.highdicom.authorship import PRODUCT, Authorship
from services.encode.model import Finding, Kind, Task, segment_planes


def build_segmentation(
    task: Task, findings: Sequence[Finding], sources: Sequence[Dataset], author: Authorship, *, omit_empty_frames: bool
) -> Dataset:
    """The SEG of a job.

    Every source instance stands in Referenced Series Sequence and Source Image Sequence; each frame names the source
    frame that it was derived from (Derivation Image Sequence, PS3.3 C.7.6.16.2.6), which is what viewers go by.

    Args:
        task: the job.
        findings: the labels; those without voxels get no segment.
        sources: the source data sets, in the order of the planes.
        author: who made it.
        omit_empty_frames: leave frames without a voxel out.
    """
    card = task.result.card
    seg: Dataset = hd.seg.Segmentation(
        source_images=sources,
        pixel_array=segment_planes(task.result, findings),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _segment(finding, finding.number, author) for finding in findings if finding.number is not None
        ],
        content_label=_code_string(card.name),
        content_description=author.text(card.title),
        content_creator_name=f"{PRODUCT}^{author.text(card.name)}",
        omit_empty_frames=omit_empty_frames,
        **author.of_instance(Kind.SEG),
    )
    organisation = author.uid("dimension organisation")
    seg.DimensionOrganizationSequence[0].DimensionOrganizationUID = organisation
    for index in seg.DimensionIndexSequence:
        index.DimensionOrganizationUID = organisation
    author.sign(seg)
    return seg


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


def _code_string(name: str) -> str:
    """`name` as a Code String: capitals, digits, spaces and underscores, at most 16 (PS3.5 6.2)."""
    return re.sub(r"[^A-Z0-9 ]", "_", name.upper())[:16].strip(" ") or PRODUCT.upper()
