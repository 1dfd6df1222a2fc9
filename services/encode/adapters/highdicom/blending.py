"""The Advanced Blending Presentation State (PS3.3 A.33.7): the map in colour over the images, for viewers that know
presentation states and do not lay a Parametric Map over anything by themselves.

Inputs are images of any kind, among them Parametric Maps (C.11.33): the source as it is shown first, in grey, and the
map through a well-known palette (PS3.6 Annex B). They are blended as PS3.4 N.2.6 tells: the first input with the
Relative Opacity, the second with the rest; where the map has padding, the source alone is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import highdicom as hd
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.data import get_palette_files

from services.contracts.results import BlendingOptions, Palette
from services.encode.adapters.highdicom.authorship import PRODUCT, Authorship, reference
from services.encode.adapters.highdicom.presentation import date_creation, layer_of, srgb, windows_of
from services.encode.adapters.highdicom.segmentation import code_string
from services.encode.adapters.highdicom.source import Sources
from services.encode.findings import extent, unit_text
from services.encode.model import Kind, Task

_FILES = {
    Palette.HOT_IRON: "hotiron.dcm",
    Palette.PET: "pet.dcm",
    Palette.HOT_METAL_BLUE: "hotmetalblue.dcm",
    Palette.PET_20_STEP: "pet20step.dcm",
}
"""What pydicom calls the palettes."""
_BRIGHTEST = 0.75
_SOURCE, _MAP = 1, 2
_DISPLAY = hd.pr.AnnotationUnitsValues.DISPLAY


def build_blending(
    task: Task, sources: Sources, maps: Sequence[Dataset], author: Authorship, options: BlendingOptions
) -> list[Dataset]:  # fmt: skip
    """The blending presentation state of a job: one for the series, none where the map has no value.

    Args:
        task: the job.
        sources: its source, a volume.
        maps: the Parametric Map of the job.
        author: who made it.
        options: of the card.
    """
    card, values = task.result.card, task.result.arrays.map
    reach = None if values is None else extent(values)
    if not maps or reach is None or card.map is None:
        return []
    (pm,) = maps
    images = list(sources.instances)
    colour = int(sources.first.get("SamplesPerPixel") or 1) > 1
    layer = layer_of(author)
    ends = f"from {reach[0]:.4g} (dark) to {reach[1]:.4g} (bright) {unit_text(card.map.unit)}"
    said = f"AI, unverified: {card.map.name} {ends}"
    legend = hd.pr.TextObject(author.text(said, 1024), _DISPLAY, bounding_box=(0.02, 0.02, 0.98, 0.06))
    inputs = [
        hd.pr.AdvancedBlending(
            [_named(image) for image in images],
            _SOURCE,
            voi_lut_transformations=None if colour else windows_of(sources.planes, sources) or None,
            palette_color_lut_transformation=None if colour else _grey(sources.first),
        ),
        hd.pr.AdvancedBlending(
            [_named(pm)],
            _MAP,
            voi_lut_transformations=[_from_dark_to_bright(*reach)],
            palette_color_lut_transformation=_palette(options.palette),
        ),
    ]
    display = hd.pr.BlendingDisplay(
        "FOREGROUND",
        [hd.pr.BlendingDisplayInput(_MAP), hd.pr.BlendingDisplayInput(_SOURCE)],
        relative_opacity=options.opacity,
    )
    ds: Dataset = hd.pr.AdvancedBlendingPresentationState(
        referenced_images=[*images, pm],
        blending=inputs,
        blending_display=[display],
        content_label=code_string(card.map.name),
        content_description=author.text(f"{card.map.name}, in colour over the images"),
        content_creator_name=f"{PRODUCT}^{author.text(card.name)}",
        graphic_annotations=[hd.pr.GraphicAnnotation(images[:1], layer, text_objects=[legend])],
        graphic_layers=[layer],
        icc_profile=srgb(),
        **author.of_instance(Kind.BLEND),
    )
    for item in ds.AdvancedBlendingSequence:
        item.TimeSeriesBlending = "FALSE"
        item.GeometryForDisplay = "TRUE" if item.BlendingInputNumber == _SOURCE else "FALSE"
    for annotation in ds.GraphicAnnotationSequence:  # without a reference it is on all images (PS3.3 C.10.5)
        del annotation.ReferencedImageSequence
    # Beside the references of the inputs: who looks for one at the top only (dciodvfy) finds the map.
    ds.ReferencedImageSequence = [reference(pm)]
    ds.FrameOfReferenceUID = sources.first.FrameOfReferenceUID  # highdicom leaves the module out
    ds.PositionReferenceIndicator = sources.first.get("PositionReferenceIndicator")
    date_creation(ds, author)
    ds.Laterality = sources.first.get("Laterality")
    author.sign(ds)
    return [ds]


def _named(image: Dataset) -> Dataset:
    """What highdicom has to know of an input; it would write the rescale as well, which has no place in this IOD: the
    image's own is used, slice by slice where they differ."""
    bare = Dataset()
    for keyword in ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "Rows", "Columns"):
        bare[keyword] = image[keyword]
    bare.SamplesPerPixel = int(image.get("SamplesPerPixel") or 1)
    bare.SharedFunctionalGroupsSequence, bare.PerFrameFunctionalGroupsSequence = [Dataset()], []
    return bare


def _from_dark_to_bright(low: float, high: float) -> Any:
    """A window that has the smallest value at the palette's beginning and the largest at three quarters of it, exactly
    (PS3.3 C.11.2.1.3.2): the values are no integers.

    There the palettes are at their most colourful; they end in white, which over grey would be no colour at all. A map
    of one value alone is all bright.
    """
    span = high - low or max(abs(high), 1e-6)
    width = max(span / _BRIGHTEST, 1e-6)
    return hd.pr.SoftcopyVOILUTTransformation(high - span + width / 2, width, voi_lut_function="LINEAR_EXACT")


def _grey(source: Dataset) -> Any:
    """The palette that leaves grey as it is: a viewer that asks for a palette for each grey input has one."""
    ramp = np.arange(256, dtype=np.uint16)
    if source.get("PhotometricInterpretation") == "MONOCHROME1":
        ramp = ramp[::-1]
    return _table(np.repeat(ramp[:, None], 3, axis=1))


@cache
def _palette(palette: Palette) -> Any:
    """A well-known palette with its UID."""
    ds = dcmread(get_palette_files(_FILES[palette])[0])
    parts = [np.frombuffer(ds[f"{one}PaletteColorLookupTableData"].value, np.uint8) for one in ("Red", "Green", "Blue")]
    return _table(np.stack(parts, axis=1).astype(np.uint16), str(ds.SOPInstanceUID))


def _table(colours: NDArray[np.uint16], uid: str | None = None) -> Any:
    """256 colours in 8 bits as a table in 16 bits, which is what readers of presentation states expect."""
    return hd.PaletteColorLUTTransformation.from_combined_lut(colours * 257, palette_color_lut_uid=uid)
