"""What of a radiograph is shadowed: body and objects, against directly exposed detector and the collimator's border."""

from __future__ import annotations

import numpy as np
from image import Image
from image_processing_tool import ImageProcessingTool
from numpy.typing import NDArray
from processing_result import ProcessingResult
from scipy import ndimage

COARSE_PIXELS = 256
"""About so many pixels has the shorter side of the copy that is worked on."""
LEAST_CONTRAST = 0.05
BINS = 128


class ShadowTool(ImageProcessingTool):
    """Otsu's threshold on a coarse copy, and again on what is darker; the largest piece, holes filled."""

    def version_id(self) -> str:
        """The version on the card."""
        return "1.0.0"

    def description(self) -> str:
        """What it does."""
        return "the part of a radiograph that body or objects shadow"

    def can_process_image(self, img: Image) -> bool:
        """Whether it is one image, with white for dense."""
        return img.metadata["units"] == "display" and len(img.as_numpy()) == 1

    def process(self, img: Image) -> ProcessingResult:
        """The label map and its area, where the image says how large a pixel is."""
        image = img.as_numpy()[0]
        labels = np.zeros((1, *image.shape), np.uint8)
        step = max(1, min(image.shape) // COARSE_PIXELS)
        coarse = ndimage.uniform_filter(image, step)[::step, ::step]
        if float(np.ptp(coarse)) > LEAST_CONTRAST:
            level = threshold(coarse)
            darker = coarse[coarse <= level]
            if float(np.ptp(darker)) > LEAST_CONTRAST:  # what is left may be soft tissue before an exposed detector
                level = threshold(darker)
            shadow = ndimage.binary_opening(coarse > level, iterations=2)
            things, count = ndimage.label(shadow)
            if count:
                sizes = np.bincount(things.ravel())
                sizes[0] = 0
                body = ndimage.binary_fill_holes(things == sizes.argmax())
                fine = np.kron(body, np.ones((step, step), bool))
                labels[0] = fine[: image.shape[0], : image.shape[1]]
        area = float(labels.sum()) * float(np.prod(img.metadata["spacing"][1:]))
        result = ProcessingResult(self.name(), {"Shadow": {"area": area if np.isfinite(area) else None}})
        result.arrays["labels"] = labels
        return result


def threshold(values: NDArray[np.float32]) -> float:
    """The value that parts the histogram into the two most different classes."""
    counts, edges = np.histogram(values, BINS)
    middles = (edges[1:] + edges[:-1]) / 2
    below, mass = np.cumsum(counts), np.cumsum(counts * middles)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = below * above * (mass / below - (mass[-1] - mass) / above) ** 2
    return float(middles[int(np.nanargmax(np.where(np.isfinite(apart), apart, -1)))])
