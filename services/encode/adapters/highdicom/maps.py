"""The Parametric Map (PS3.3 A.75): a quantity with its unit at each voxel of a volume, as floats."""

from __future__ import annotations

import highdicom as hd
import numpy as np
from pydicom import Dataset

from services.encode.adapters.highdicom.authorship import PRODUCT, Authorship
from services.encode.adapters.highdicom.evidence import note_beside
from services.encode.adapters.highdicom.segmentation import code_string, organise
from services.encode.adapters.highdicom.source import Sources
from services.encode.adapters.highdicom.stand_ins import settle, stand_ins
from services.encode.errors import CardMismatch
from services.encode.findings import extent
from services.encode.model import Kind, Task


def build_map(task: Task, sources: Sources, author: Authorship) -> Dataset:
    """The Parametric Map of a job.

    Args:
        task: the job.
        sources: its source, a volume.
        author: who made it.
    """
    card, values = task.result.card, task.result.arrays.map
    if values is None or card.map is None:
        raise CardMismatch("it has no map")
    there = np.isfinite(values)
    low, high = extent(values) or (0.0, 0.0)
    nothing = _below(low, high)
    mapping = hd.pm.RealWorldValueMapping(
        lut_label=code_string(card.map.name),
        lut_explanation=author.text(card.map.name),
        unit=author.coded(card.map.unit),
        value_range=(low, high),
        slope=1.0,
        intercept=0.0,
        quantity_definition=author.coded(card.map.quantity),
    )
    ds: Dataset = hd.pm.ParametricMap(
        source_images=stand_ins(sources),
        pixel_array=np.where(there, values, np.float32(nothing)),
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[mapping],
        voi_lut_transformations=[_window(low, high)],
        content_label=code_string(card.name),
        content_description=author.text(card.title),
        content_creator_name=f"{PRODUCT}^{author.text(card.name)}",
        **author.of_instance(Kind.PM),
    )
    if not there.all():
        ds.FloatPixelPaddingValue = ds.FloatPixelPaddingRangeLimit = nothing
    settle(ds, sources)
    note_beside(ds, sources)
    organise(ds, author)
    ds.Laterality = sources.first.get("Laterality")
    author.sign(ds)
    return ds


def _below(low: float, high: float) -> float:
    """Float Pixel Padding Value (PS3.3 C.7.6.24), where the model had nothing to say: a little under the values.

    OHIF multiplies what it reads and takes its colours from all of it: with padding far away the map is grey.
    """
    step = (high - low or 1) / 256
    return float(min(np.float32(low - step), np.nextafter(np.float32(low), np.float32(-np.inf))))


def _window(low: float, high: float) -> hd.VOILUTTransformation:
    """From the smallest to the largest value; a width below 1 is for exact functions alone (PS3.3 C.11.2.1.3.2)."""
    width = max(high - low, 1e-6)
    exact = hd.VOILUTFunctionValues.LINEAR_EXACT if width < 1 else None
    return hd.VOILUTTransformation((low + high) / 2, width, voi_lut_function=exact)
