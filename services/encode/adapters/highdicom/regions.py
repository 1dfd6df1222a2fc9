"""Regions of a report: boxes in the patient (SCOORD3D) where the source lies there, else on its pixels (SCOORD)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from highdicom import sr
from numpy.typing import NDArray

from services.encode.adapters.highdicom.source import Layout, Sources
from services.encode.findings import Box

_CERTAINTY = sr.CodedConcept("111012", "DCM", "Certainty of Finding")
_PERCENT = sr.CodedConcept("%", "UCUM", "Percent")


def certainty(part: float) -> Any:
    """How certain an algorithm is of what it found, in percent (PS3.16 CID 6146)."""
    return sr.Measurement(name=_CERTAINTY, value=float(f"{100 * part:.6g}"), unit=_PERCENT)


def region_group(box: Box, sources: Sources, shared: Mapping[str, Any]) -> Any:
    """A measurement group on a box: planar (PS3.16 TID 1410), or volumetric (TID 1411) on several planes of a volume.

    A box that is several planes deep is an outline on each of them, all in the frame of reference of the source.
    """
    if sources.layout is not Layout.VOLUME:
        region = sr.ImageRegion(
            graphic_type=sr.GraphicTypeValues.POLYLINE,
            graphic_data=on_pixels(box),
            source_image=_source(box, sources),
            pixel_origin_interpretation=(
                sr.PixelOriginInterpretationValues.FRAME if sources.layout is Layout.SLIDE else None
            ),
        )
        return sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_region=region, **shared)
    frame, polygon = sources.first.FrameOfReferenceUID, sr.GraphicTypeValues3D.POLYGON
    outlines = [sources.to_patient(_outline(box, plane)) for plane in box.planes]
    if len(outlines) == 1:
        placed = sr.ImageRegion3D(graphic_type=polygon, graphic_data=outlines[0], frame_of_reference_uid=frame)
        return sr.PlanarROIMeasurementsAndQualitativeEvaluations(referenced_region=placed, **shared)
    surface = sr.VolumeSurface(
        graphic_type=polygon,
        graphic_data=outlines,
        frame_of_reference_uid=frame,
        source_series=sr.SourceSeriesForSegmentation(sources.first.SeriesInstanceUID),
    )
    return sr.VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_volume_surface=surface, **shared)


def on_pixels(box: Box) -> NDArray[np.float64]:
    """The closed outline of a box as column and row, 0 at the upper left edge of the image (PS3.3 C.18.6.1.1).

    Index coordinates are 0 at the centre of the first voxel, which is half a pixel from its edge.
    """
    (_, top, left), (_, bottom, right) = box.first, box.last
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top)]
    return np.array(corners, np.float64) + 0.5


def _outline(box: Box, plane: int) -> NDArray[np.float64]:
    (_, top, left), (_, bottom, right) = box.first, box.last
    corners = [(top, left), (top, right), (bottom, right), (bottom, left), (top, left)]
    return np.array([(plane, *corner) for corner in corners], np.float64)


def _source(box: Box, sources: Sources) -> Any:
    """The frames that the box is on: a box over time is on all of them, of the instance of the first."""
    planes = [sources.planes[plane] for plane in box.planes]
    instance = planes[0].instance
    frames = [plane.frame for plane in planes if plane.instance is instance]
    return sr.SourceImageForRegion(
        referenced_sop_class_uid=instance.SOPClassUID,
        referenced_sop_instance_uid=instance.SOPInstanceUID,
        referenced_frame_numbers=frames if sources.is_multiframe(instance) else None,
    )
