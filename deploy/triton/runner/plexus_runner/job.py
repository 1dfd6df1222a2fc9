"""A question and its answer as files of a folder: how they reach the process that is confined, and come back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plexus_runner import places
from plexus_runner.places import Places
from plexus_runner.question import MAIN, Input, Question
from plexus_runner.refusals import Refused

_JOB, _ARRAYS, _TOLD = "job.json", "answer.npz", "answer.json"


def write(card: dict[str, Any], question: Question, folder: Path) -> None:
    """Put a question there. Voxels that lie in a file stay where they are, and are named."""
    told = {}
    for name, one in {MAIN: question.main, **question.more}.items():
        path = one.file or str(folder / f"{name}.voxels")
        if not one.file:
            np.ascontiguousarray(one.array).tofile(path)
        told[name] = {
            "file": path,
            "type": one.array.dtype.str,
            "shape": list(one.array.shape),
            "spacing": one.spacing.tolist(),
            "direction": one.direction.tolist(),
            "offset": one.offset.tolist(),
        }
    job = {"card": card, "inputs": told, "places": question.places.paths}
    (folder / _JOB).write_text(json.dumps(job))


def read(folder: Path) -> tuple[dict[str, Any], Question]:
    """The card and the question, with all files of it open."""
    job = json.loads((folder / _JOB).read_text())
    inputs = {name: _input(one) for name, one in job["inputs"].items()}
    return job["card"], Question(inputs.pop(MAIN), inputs, Places(job["places"]))


def _input(told: dict[str, Any]) -> Input:
    array = places.view(told["file"], told["type"], tuple(told["shape"]))
    where = (np.array(told[key], np.float64) for key in ("spacing", "direction", "offset"))
    return Input(array, *where, file=told["file"])


def answer(arrays: dict[str, NDArray[Any]], question: Question, folder: Path) -> None:
    """Put the answer there; what has a place goes into that."""
    rest, told = question.places.put(arrays)
    with (folder / _ARRAYS).open("wb") as file:
        np.savez(file, **rest)  # type: ignore[arg-type]  # the names are those of outputs
    (folder / _TOLD).write_text(json.dumps(told))


def answered(question: Question, folder: Path) -> dict[str, NDArray[Any]]:
    """The answer in the folder.

    Raises:
        Refused: there is none.
    """
    try:
        with np.load(folder / _ARRAYS, allow_pickle=False) as arrays:
            rest = {name: arrays[name] for name in arrays.files}
        return rest | question.places.take(json.loads((folder / _TOLD).read_text()))
    except (OSError, ValueError, EOFError, KeyError, TypeError):
        raise Refused("its code gave no answer") from None
