"""Stands in for the module `processing_result` of the published framework: what a tool returns."""

from __future__ import annotations

from typing import Any


class ProcessingResult:
    """What a tool found.

    Attributes:
        tool_name: which tool.
        metadata: numbers by the names of the card's measurements, or of its classes.
        arrays: the arrays of the result file, by their names, where the tool makes some itself.
    """

    def __init__(self, tool_name: str, metadata: dict[str, Any] | None = None) -> None:
        self.tool_name = tool_name
        self.metadata: dict[str, Any] = {} if metadata is None else metadata
        self.arrays: dict[str, Any] = {}

    def to_dicom(self) -> list[str]:
        """DICOM files; never asked for here: Plexus makes the objects, in the hospital's zone."""
        raise NotImplementedError


class SegmentationResult(ProcessingResult):
    """A label map in a NIfTI file, on the grid of the image."""

    def __init__(
        self, tool_name: str, segmentation_nii_path: str, metadata: dict[str, Any] | None = None, **more: Any
    ) -> None:
        super().__init__(tool_name, metadata)
        self.segmentation_nii_path = segmentation_nii_path
        self.more = more


class MultipleResults(ProcessingResult):
    """Several results; as one, the numbers of all and the label map of the only one that has one."""

    def __init__(self, tool_name: str, results: list[ProcessingResult], metadata: dict[str, Any] | None = None) -> None:
        super().__init__(tool_name, {key: one.metadata[key] for one in results for key in one.metadata})
        self.metadata.update(metadata or {})
        maps = [one for one in results if isinstance(one, SegmentationResult)]
        if len(maps) == 1:
            self.segmentation_nii_path = maps[0].segmentation_nii_path
