"""How much of a CT is body: volume and mean attenuation. A measurement tool with the published interface."""

from __future__ import annotations

import numpy as np
from image import Image
from image_processing_tool import ImageProcessingTool
from processing_result import ProcessingResult
from scipy import ndimage

BODY_HU = -300
COARSE_MM = 4.0


class BodyMeasure(ImageProcessingTool):
    """Measures the largest thing in the field of view, with the air inside it."""

    def version_id(self) -> str:
        """The version on the card."""
        return "1.0.0"

    def description(self) -> str:
        """What it does."""
        return "volume and mean attenuation of the body within the field of view of a CT"

    def can_process_image(self, img: Image) -> bool:
        """Whether it is a volume in Hounsfield units."""
        return img.metadata["units"] == "HU" and img.as_numpy().ndim == 3

    def process(self, img: Image) -> ProcessingResult:
        """Measure on a copy with steps of about 4 mm; the border of a body is not known better than that."""
        spacing = np.array(img.metadata["spacing"])
        steps = np.maximum(1, np.rint(COARSE_MM / spacing)).astype(int)
        coarse = np.asarray(img.as_numpy()[tuple(slice(None, None, step) for step in steps)], np.float32)
        things, count = ndimage.label(ndimage.binary_opening(coarse > BODY_HU, iterations=2))
        if count == 0:
            return ProcessingResult(self.name(), {"volume": 0.0})
        sizes = np.bincount(things.ravel())
        sizes[0] = 0
        body = np.stack([ndimage.binary_fill_holes(plane) for plane in things == sizes.argmax()])
        voxel_ml = float(np.prod(spacing * steps)) / 1000
        found = {"volume": float(body.sum()) * voxel_ml, "mean attenuation": float(coarse[body].mean())}
        return ProcessingResult(self.name(), found)
