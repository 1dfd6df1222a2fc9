"""What a package is asked: its inputs, where large outputs may be put, and whether anybody still waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plexus_runner.places import Places
from plexus_runner.refusals import Refused

MAIN = "volume"
"""The input that the package is about; further ones, such as a prior, have names of their own."""


@dataclass(frozen=True)
class Input:
    """The voxels of a series, and where they lie.

    Attributes:
        array: [plane, row, column], and colours last.
        spacing: mm between planes, rows, columns; NaN where that is not known.
        direction: 3x3; columns are the LPS unit vectors of the column, row and plane index.
        offset: from the first voxel of the main input to its own, mm, LPS; NaN where they have no space in common.
        file: the file that holds the array and nothing else; empty: none does.
    """

    array: NDArray[Any]
    spacing: NDArray[np.float64]
    direction: NDArray[np.float64]
    offset: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    file: str = ""


@dataclass(frozen=True)
class Question:
    """One request.

    Attributes:
        main: what the package is about.
        more: the further inputs that are there, by their names.
        places: where outputs may be put.
        stopped: whether nobody waits for the answer any more.
    """

    main: Input
    more: Mapping[str, Input] = field(default_factory=dict)
    places: Places = field(default_factory=Places)
    stopped: Callable[[], bool] = lambda: False

    @classmethod
    def of(
        cls,
        tensors: Mapping[str, NDArray[Any]],
        more: Iterable[str] = (),
        *,
        files: Mapping[str, str] = MappingProxyType({}),
        places: Places | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> Question:
        """The question in tensors, by their names (models/README.md).

        Args:
            tensors: of each input its voxels, and where they lie.
            more: names of further inputs; those without voxels are not there.
            files: see `Input.file`.
            places: where outputs may be put.
            stopped: as above.

        Raises:
            Refused: the main input is not there.
        """
        if MAIN not in tensors:
            raise Refused(f"the request has no input {MAIN}")

        def one(name: str, prefix: str) -> Input:
            where = (tensors[f"{prefix}{key}"] for key in ("spacing", "direction", *(["offset"] if prefix else [])))
            return Input(tensors[name], *where, file=files.get(name, ""))

        beside = {name: one(name, f"{name}_") for name in more if name in tensors}
        return cls(one(MAIN, ""), beside, places or Places(), stopped)
