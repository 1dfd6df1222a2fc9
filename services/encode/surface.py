"""The surface of a mask as triangles: surface nets (Gibson 1998), closed and near the voxels' edges. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
_CORNERS = tuple((a, b, c) for a in (False, True) for b in (False, True) for c in (False, True))


def surface_of(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The triangles around `mask`: T by 3 corners by 3 index coordinates, counter-clockwise seen from outside.

    Outside is judged in index space taken as right-handed. A vertex lies in each cell of eight neighbouring voxels that
    the surface crosses, at the mean of the middles of the crossed edges; four cells around a crossed edge make a quad.
    """
    box = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    if not len(box[0]):
        return np.empty((0, 3, 3))
    start = [int(part[0]) for part in box]
    cut = mask[tuple(slice(part[0], part[-1] + 1) for part in box)]
    solid = np.pad(cut, 1)
    shape = tuple(size - 1 for size in solid.shape)
    at = {corner: solid[tuple(slice(o, o + n) for o, n in zip(corner, shape, strict=True))] for corner in _CORNERS}
    total, count = np.zeros((*shape, 3), np.float32), np.zeros(shape, np.uint8)
    for corner in _CORNERS:
        for axis in range(3):
            if corner[axis]:
                continue
            other = (corner[0] or axis == 0, corner[1] or axis == 1, corner[2] or axis == 2)
            crossed = at[corner] != at[other]
            count += crossed
            total[crossed] += (np.array(corner, np.float32) + np.array(other, np.float32)) / 2
    cells = np.flatnonzero(count)
    number = np.full(count.size, -1, np.int64)
    number[cells] = np.arange(len(cells))
    number = number.reshape(shape)
    inner = total.reshape(-1, 3)[cells] / count.reshape(-1)[cells, None]
    vertices = np.stack(np.unravel_index(cells, shape), axis=1) + inner + np.array(start) - 1.0
    return np.asarray(vertices[np.concatenate([_faces(solid, number, axis) for axis in range(3)])], np.float64)


def _faces(solid: NDArray[np.bool_], number: NDArray[np.int64], axis: int) -> NDArray[np.int64]:
    """Two triangles for each pair of neighbours along `axis` of which one is solid."""
    here = [slice(None)] * 3
    there = [slice(None)] * 3
    here[axis], there[axis] = slice(None, -1), slice(1, None)
    first, second = solid[tuple(here)], solid[tuple(there)]
    b, c = (axis + 1) % 3, (axis + 2) % 3
    triangles = []
    for crossed, outward in ((first & ~second, True), (~first & second, False)):
        points = np.argwhere(crossed)
        quad = []
        for db, dc in ((-1, -1), (0, -1), (0, 0), (-1, 0)):
            cell = points.copy()
            cell[:, b] += db
            cell[:, c] += dc
            quad.append(number[tuple(cell.T)])
        if not outward:
            quad.reverse()
        triangles += [np.stack([quad[0], quad[1], quad[2]], 1), np.stack([quad[0], quad[2], quad[3]], 1)]
    return np.concatenate(triangles)


def stl_of(triangles: Points, name: str) -> bytes:
    """A binary STL file of triangles in patient coordinates: millimetres, right-handed."""
    edges = triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    normals = np.cross(*edges)
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    normals = np.divide(normals, lengths, out=np.zeros_like(normals), where=lengths > 0)
    records = np.zeros(len(triangles), np.dtype([("data", "<f4", (4, 3)), ("attribute", "<u2")]))
    records["data"][:, 0] = normals
    records["data"][:, 1:] = triangles
    head = name.encode("ascii", "replace")[:80].ljust(80)
    return head + len(triangles).to_bytes(4, "little") + records.tobytes()
