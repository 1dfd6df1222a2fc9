"""Air within the body on a CT and on an earlier one, and the change between them. A tool that takes two series."""

from __future__ import annotations

import numpy as np
from image import Image
from image_processing_tool import ImageProcessingTool
from processing_result import ProcessingResult
from scipy import ndimage

AIR_HU = -400
COARSE_MM = 3.0
SMALLEST_ML = 100.0


class Change(ImageProcessingTool):
    """Measures the same on both, each on its own grid: nothing has to be registered for that."""

    def version_id(self) -> str:
        """The version on the card."""
        return "1.0.0"

    def description(self) -> str:
        """What it does."""
        return "change of the air in the lungs between a chest CT and an earlier one"

    def can_process_image(self, img: Image) -> bool:
        """Whether both are there, in Hounsfield units."""
        return "prior" in img.more and all(one.metadata["units"] == "HU" for one in (img, img.more["prior"]))

    def process(self, img: Image) -> ProcessingResult:
        """Measure both."""
        now, before = lungs(img), lungs(img.more["prior"])
        volume, prior = millilitres(now, img), millilitres(before, img.more["prior"])
        found = {"volume": volume, "prior volume": prior}
        if prior > 0:
            found["change"] = 100 * (volume - prior) / prior
        result = ProcessingResult(self.name(), found)
        result.arrays["labels"] = now.astype(np.uint8)
        return result


def lungs(img: Image) -> np.ndarray:
    """Where there is air that the body encloses: found on a coarse copy, its border decided on the full grid."""
    hu, spacing = img.as_numpy(), np.array(img.metadata["spacing"])
    steps = np.maximum(1, np.rint(COARSE_MM / spacing)).astype(int)
    air = np.asarray(hu[tuple(slice(None, None, step) for step in steps)]) < AIR_HU
    for plane in air:  # what reaches the edge of a plane lies outside the body
        parts, _ = ndimage.label(plane)
        edge = np.unique(np.concatenate([parts[0], parts[-1], parts[:, 0], parts[:, -1]]))
        plane[np.isin(parts, edge)] = False
    things, count = ndimage.label(ndimage.binary_opening(air))
    sizes = np.bincount(things.ravel(), minlength=count + 1)
    sizes[0] = 0
    large = np.flatnonzero(sizes * np.prod(spacing * steps) / 1000 >= SMALLEST_ML)
    near = ndimage.binary_dilation(np.isin(things, large))
    for axis, step in enumerate(steps):
        near = np.take(np.repeat(near, step, axis), np.arange(hu.shape[axis]), axis)
    return near & (hu < AIR_HU)


def millilitres(mask: np.ndarray, img: Image) -> float:
    """The volume of a mask."""
    return float(np.count_nonzero(mask) * np.prod(img.metadata["spacing"]) / 1000)
