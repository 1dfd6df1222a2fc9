"""Softcopy Presentation States (PS3.3 A.33): contours and boxes on the source, for viewers without SEG and SR."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import cv2
import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from PIL import ImageCms
from pydicom import Dataset

from services.encode.adapters.highdicom.authorship import PRODUCT, UNVERIFIED, Authorship, reference
from services.encode.adapters.highdicom.regions import on_pixels
from services.encode.adapters.highdicom.segmentation import code_string
from services.encode.adapters.highdicom.source import Layout, Plane, Sources, frame_value, number_of, window_of
from services.encode.errors import NotCarried
from services.encode.findings import Finding, boxes_of, mask_of
from services.encode.model import Kind, Task

_PIXEL = hd.pr.AnnotationUnitsValues.PIXEL
_POLYLINE = hd.pr.GraphicTypeValues.POLYLINE
_FUNCTIONS = {function.value for function in hd.VOILUTFunctionValues}
_MAX_POINTS = 8000
"""Graphic Data has 16 bits for its length in Explicit VR (PS3.5 7.1.2): 8191 points."""


def build_presentations(
    task: Task, findings: Sequence[Finding], sources: Sources, author: Authorship
) -> list[Dataset]:  # fmt: skip
    """The presentation states of a job: one for the planes that share a rescale, none where nothing was found.

    Args:
        task: the job.
        findings: the labels.
        sources: the source; the tiles of a slide get none, as what is drawn on one of them is lost on the slide.
        author: who made it.

    Raises:
        NotCarried: the source is a slide.
    """
    if sources.layout is Layout.SLIDE:
        raise NotCarried(Kind.GSPS, "a slide")
    colour = int(sources.first.get("SamplesPerPixel") or 1) > 1
    layer = layer_of(author)
    marked = [
        (sources.planes[plane], annotation)
        for plane in range(len(sources.planes))
        if (annotation := _annotation(findings, sources, plane, layer, author)) is not None
    ]
    made = []
    by_rescale = sorted(marked, key=lambda item: _rescale(item[0]))  # PET slices have one each
    several = len({_rescale(plane) for plane, _ in marked}) > 1
    for number, (rescale, group) in enumerate(groupby(by_rescale, key=lambda item: _rescale(item[0])), 1):
        planes = list(group)
        images = list({str(plane.instance.SOPInstanceUID): plane.instance for plane, _ in planes}.values())
        maker: Any = hd.pr.ColorSoftcopyPresentationState if colour else hd.pr.GrayscaleSoftcopyPresentationState
        shown: dict[str, Any] = {}
        if colour:
            shown = {"icc_profile": None if any("ICCProfile" in image for image in images) else srgb()}
        elif not _has_tables(images):
            images, shown = list(map(_bare, images)), _shown(rescale, images, sources)
        ds: Dataset = maker(
            referenced_images=images,
            content_label=code_string(task.result.card.name),
            content_description=author.text(task.result.card.title),
            content_creator_name=f"{PRODUCT}^{author.text(task.result.card.name)}",
            graphic_annotations=[annotation for _, annotation in planes],
            graphic_layers=[layer],
            **shown,
            **author.of_instance(Kind.GSPS, number),
        )
        table = images[0].get("ModalityLUTSequence")  # of a run; highdicom reads those of single images alone
        if table and not colour:
            ds.ModalityLUTSequence = table
        if several:
            _name_frames(ds, [plane for plane, _ in planes], sources)
        date_creation(ds, author)
        ds.Laterality = sources.first.get("Laterality")
        author.sign(ds)
        made.append(ds)
    return made


def _shown(rescale: tuple[str, str], images: Sequence[Dataset], sources: Sources) -> dict[str, Any]:
    """How grey images are shown: by the rescale that the marked frames share, and the windows of all frames with it.

    highdicom would read both from the images, but fails where they stand frame by frame, or beside frames without
    functional groups, or where a window has no width. Tables, which projections have, it reads well.
    """
    told: dict[str, Any] = {}
    slope, intercept = map(number_of, rescale)
    alike = [plane for plane in _planes_of(images, sources) if _rescale(plane) == rescale]
    if slope is not None and intercept is not None:
        kind = frame_value(alike[0].instance, alike[0].frame, "RescaleType") or hd.RescaleTypeValues.US.value
        told["modality_lut_transformation"] = hd.ModalityLUTTransformation(intercept, slope, str(kind))
    if windows := windows_of(alike, sources):
        told["voi_lut_transformations"] = windows
    return told


def _has_tables(images: Sequence[Dataset]) -> bool:
    """Whether these are single pictures with tables, which highdicom reads."""
    return not any("NumberOfFrames" in image for image in images) and any(
        "VOILUTSequence" in image or "ModalityLUTSequence" in image for image in images
    )


def _planes_of(images: Sequence[Dataset], sources: Sources) -> list[Plane]:
    return [plane for plane in sources.planes if any(plane.instance is image for image in images)]


def _bare(image: Dataset) -> Dataset:
    """An image that tells nothing of what `_shown` tells."""
    bare = Dataset({element.tag: element for element in image if not element.keyword.startswith(_TOLD)})
    bare.SharedFunctionalGroupsSequence, bare.PerFrameFunctionalGroupsSequence = [Dataset()], []
    return bare


_TOLD = ("SharedFunctionalGroups", "PerFrameFunctionalGroups", "Window", "VOILUTFunction", "Rescale")


def _name_frames(ds: Dataset, planes: Sequence[Plane], sources: Sources) -> None:
    """Of images with several rescales, refer to the frames alone that this state is for."""
    for series in ds.ReferencedSeriesSequence:
        for item in series.ReferencedImageSequence:
            of_it = [plane for plane in planes if plane.instance.SOPInstanceUID == item.ReferencedSOPInstanceUID]
            if sources.is_multiframe(of_it[0].instance):
                item.ReferencedFrameNumber = sorted(plane.frame for plane in of_it)


def layer_of(author: Authorship) -> Any:
    """The graphic layer that everything of ours is drawn on."""
    return hd.pr.GraphicLayer("AI_UNVERIFIED", order=1, description=author.text(UNVERIFIED))


def date_creation(ds: Dataset, author: Authorship) -> None:
    """Say when a presentation state was made (PS3.3 C.11.10), instead of highdicom's now."""
    ds.PresentationCreationDate = author.when.strftime("%Y%m%d")
    ds.PresentationCreationTime = author.when.strftime("%H%M%S")


def windows_of(planes: Sequence[Plane], sources: Sources) -> list[Any]:
    """The first window of each plane: one transformation for all, or one for those that share it."""
    shared: dict[tuple[float, float, str], list[Plane]] = {}
    for plane in planes:
        if (window := window_of(plane)) is not None:
            function = str(frame_value(plane.instance, plane.frame, "VOILUTFunction") or "")
            shared.setdefault((*window, function if function in _FUNCTIONS else ""), []).append(plane)
    made = []
    for (centre, width, function), group in shared.items():
        item: Any = hd.pr.SoftcopyVOILUTTransformation(centre, width, voi_lut_function=function or None)
        if len(group) < len(planes):
            item.ReferencedImageSequence = _references(group, sources)
        made.append(item)
    return made


def _references(planes: Sequence[Plane], sources: Sources) -> list[Dataset]:
    items: dict[str, Dataset] = {}
    for plane in planes:
        item = items.setdefault(str(plane.instance.SOPInstanceUID), reference(plane.instance))
        if sources.is_multiframe(plane.instance):
            item.ReferencedFrameNumber = [*_several(item.get("ReferencedFrameNumber")), plane.frame]
    return list(items.values())


def _several(value: Any) -> Sequence[int]:
    return () if value is None else value if isinstance(value, Sequence) else (value,)


def srgb() -> bytes:
    """The colour space that an image without a profile is taken to be in, as an input profile (PS3.3 C.11.15.1.1)
    and without the time of its making."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:12] + b"scnr" + profile[16:24] + bytes(12) + profile[36:]


def _rescale(plane: Plane) -> tuple[str, str]:
    told = (frame_value(plane.instance, plane.frame, word) for word in ("RescaleSlope", "RescaleIntercept"))
    slope, intercept = ("" if value is None else str(value) for value in told)
    return slope, intercept


def _annotation(findings: Sequence[Finding], sources: Sources, plane: int, layer: Any, author: Authorship) -> Any:
    result = author.task.result
    graphics, texts = [], []
    for finding in findings:
        mask = mask_of(result, finding.label, plane)
        if mask is None or not mask.any():
            continue
        uid, identifier = author.tracking(finding.label)
        outlines = _contours(mask)
        graphics += [
            hd.pr.GraphicObject(_POLYLINE, line, _PIXEL, tracking_id=identifier, tracking_uid=uid) for line in outlines
        ]
        texts.append(_text(author.text(finding.label.name), outlines[0], mask.shape))
    for box in boxes_of(result):
        if plane in box.planes:
            graphics.append(hd.pr.GraphicObject(_POLYLINE, on_pixels(box), _PIXEL))
            said = author.text(f"{box.label.name} {box.score:.0%}")
            texts.append(_text(said, on_pixels(box), (sources.first.Rows, sources.first.Columns)))
    if not graphics:
        return None
    at = sources.planes[plane]
    return hd.pr.GraphicAnnotation(
        referenced_images=[at.instance],
        graphic_layer=layer,
        referenced_frame_number=at.frame if sources.is_multiframe(at.instance) else None,
        graphic_objects=graphics,
        text_objects=texts,
    )


def _contours(mask: NDArray[np.bool_]) -> list[NDArray[np.float64]]:
    """The closed outlines of a mask through the centres of its edge pixels, 0 at the upper left edge of the image."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    lines = []
    for contour in sorted(found, key=len, reverse=True):
        points = contour[:: 1 + len(contour) // _MAX_POINTS, 0].astype(np.float64) + 0.5
        lines.append(np.concatenate([points, points[:1]]))
    return lines


def _text(text: str, line: NDArray[np.float64], shape: tuple[int, ...]) -> Any:
    column, row = line[np.argmin(line[:, 1])]
    anchor = (float(min(column, shape[1])), float(min(row, shape[0])))
    return hd.pr.TextObject(text, _PIXEL, anchor_point=anchor)
