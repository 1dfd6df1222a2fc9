"""Stands in for the module `image` of the published framework: an image that a tool may process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Image:
    """One input, as a NIfTI file and as an array.

    Attributes:
        base_dcm_dir: a folder for files of the tool's own. No DICOM file is in it: a tool sees pixels, never headers.
        metadata: spacing, direction, units, Modality (as the card says), offset.
        more: the further inputs of the card that are there, by their names; `offset` of their metadata leads from the
            first voxel of this one to theirs.
        array: [plane, row, column], and colours last.
    """

    array: NDArray[Any]
    write: Callable[[Path], None] | None = None
    """Writes the file; not yet done where it is there: few tools read it."""

    def __init__(self, nii_path: str, base_dcm_dir: str, metadata: dict[str, Any]) -> None:
        self._nii_path = nii_path
        self.base_dcm_dir = base_dcm_dir
        self.metadata = metadata
        self.more: dict[str, Image] = {}

    @property
    def nii_path(self) -> str:
        """The file, in the patient's space (RAS); its origin is the first voxel, for positions stay outside."""
        if self.write is not None:
            write, self.write = self.write, None
            write(Path(self._nii_path))
        return self._nii_path

    def as_numpy(self) -> NDArray[Any]:
        """The voxels [plane, row, column]."""
        return np.asarray(self.array)

    def as_sitk_image(self) -> Any:
        """The image by SimpleITK, where the package brings it (in its folder `site`)."""
        import SimpleITK

        return SimpleITK.ReadImage(self.nii_path)

    def dcm_slice_paths(self) -> list[str]:
        """No files: headers do not leave the hospital's zone."""
        return []
