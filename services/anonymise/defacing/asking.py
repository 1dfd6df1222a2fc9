"""Frames in large pixels on their way from a worker: numbers, and nothing that could run here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from struct import Struct
from typing import Final

import numpy as np

from services.pixels.faces import Coarse, Plane

_HEAD: Final = Struct("<I")


def packed(frames: Sequence[Coarse]) -> bytes:
    """Frames, for our side of the door."""
    head = json.dumps([[one.plane, one.values.shape] for one in frames]).encode()
    return _HEAD.pack(len(head)) + head + b"".join(one.values.astype("<f4").tobytes() for one in frames)


def unpacked(data: bytes) -> tuple[Coarse, ...]:
    """What `packed` made.

    Raises:
        ValueError: it is nothing of that kind.
    """
    (length,) = _HEAD.unpack_from(data)
    at = _HEAD.size + length
    frames = []
    for (origin, across, down), (rows, columns) in json.loads(data[_HEAD.size : at]):
        values = np.frombuffer(data, "<f4", rows * columns, at).reshape(rows, columns)
        at += values.nbytes
        frames.append(Coarse(Plane(_vector(origin), _vector(across), _vector(down)), values))
    return tuple(frames)


def _vector(values: Sequence[float]) -> tuple[float, float, float]:
    x, y, z = map(float, values)
    return x, y, z
