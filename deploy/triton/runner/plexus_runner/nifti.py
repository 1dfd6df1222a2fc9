"""NIfTI-1 files, as far as tools hand them around: one volume, uncompressed or gzip, with a patient matrix."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from plexus_runner.refusals import Refused

_TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}
_CODES = {np.dtype(name): code for code, name in _TYPES.items()}
_HEADER = 348


def write(path: Path, volume: NDArray[Any], spacing: list[float], direction: NDArray[np.float64]) -> None:
    """Writes [plane, row, column]; the file's axes are column, row, plane, its space is RAS.

    Args:
        path: ends in .nii or .nii.gz.
        volume: of three axes.
        spacing: mm along plane, row, column; NaN counts as 1.
        direction: 3x3, columns are the LPS unit vectors of the column, row and plane index.
    """
    steps = [1.0 if np.isnan(step) else float(step) for step in spacing[::-1]]
    matrix = np.diag([-1.0, -1.0, 1.0]) @ direction @ np.diag(steps)
    planes, rows, columns = volume.shape
    header = bytearray(_HEADER)
    struct.pack_into("<i", header, 0, _HEADER)
    struct.pack_into("<8h", header, 40, 3, columns, rows, planes, 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, _CODES[volume.dtype], 8 * volume.dtype.itemsize)
    struct.pack_into("<8f", header, 76, 1, *steps, 0, 0, 0, 0)
    struct.pack_into("<ff", header, 108, 352, 1)  # where the voxels begin, the slope
    header[123] = 2  # mm
    struct.pack_into("<h", header, 254, 1)  # the matrix is that of the scanner's space
    for row in range(3):
        struct.pack_into("<4f", header, 280 + 16 * row, *matrix[row], 0)
    header[344:348] = b"n+1\0"
    data = bytes(header) + bytes(4)
    opener = gzip.open if path.name.endswith(".gz") else open
    with opener(path, "wb") as file:
        file.write(data)
        for plane in np.ascontiguousarray(volume):
            file.write(plane.astype(plane.dtype.newbyteorder("<"), copy=False).tobytes())


def read(path: Path) -> NDArray[Any]:
    """The voxels [plane, row, column]; the matrix is taken to be that of the file that we wrote."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        data = gzip.decompress(data)
    if len(data) < _HEADER or data[344:347] != b"n+1":
        raise Refused(f"the file {path.name} is no NIfTI file")
    order: Literal["<", ">"] = "<" if struct.unpack_from("<i", data)[0] == _HEADER else ">"
    rank, columns, rows, planes, *_ = struct.unpack_from(f"{order}8h", data, 40)
    (code,) = struct.unpack_from(f"{order}h", data, 70)
    (start,) = struct.unpack_from(f"{order}f", data, 108)
    if rank != 3 or code not in _TYPES:
        raise Refused(f"the file {path.name} is not one volume of numbers")
    dtype = np.dtype(_TYPES[code]).newbyteorder(order)
    voxels = np.frombuffer(data, dtype, columns * rows * planes, int(start))
    return voxels.reshape(planes, rows, columns).astype(dtype.newbyteorder("="))
