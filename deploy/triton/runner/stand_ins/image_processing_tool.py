"""Stands in for the module `image_processing_tool` of the published framework: what a tool inherits."""

from __future__ import annotations

from typing import Any

from image import Image
from processing_result import ProcessingResult


class ImageProcessingTool:
    """A tool says of an image whether it can process it, and processes it."""

    def name(self) -> str:
        """What it is called."""
        return type(self).__name__

    def version_id(self) -> str:
        """Its version."""
        raise NotImplementedError

    def description(self) -> str:
        """What it does, in a sentence."""
        raise NotImplementedError

    def can_process_image(self, img: Image) -> bool:
        """Whether this image is one for it."""
        raise NotImplementedError

    def process(self, images: Any) -> ProcessingResult:
        """Do it: for one image, or, where the parameter is called `images`, for a list of them."""
        raise NotImplementedError
