"""Triton's model repository, made of packages.

Packages are given the same model (`deploy/triton/runner`), with their files and their card, as JSON, in a folder
`package` beside it; the tensors follow from the card. A package of kind `triton` brings a model of its own: in Python
it runs confined like all code, for Triton's stub would confine nothing; for another backend it is Triton's own, and so
is one that the operator trusts.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from services.catalogue.errors import PackageRefusedError
from services.contracts.card import CardError, CardInput, ModelCard, PackageKind
from services.contracts.code import code_of
from services.contracts.processing import processing_of
from services.contracts.tensors import (
    PLACES,
    Output,
    Units,
    geometry_names,
    label_type,
    promised,
    sample_type,
    units_of,
)

RUNNER = Path(__file__).resolve().parents[2] / "deploy" / "triton" / "runner"

_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", "training", "tests", "report")
_TYPES = {np.dtype(np.uint8): "TYPE_UINT8", np.dtype(np.uint16): "TYPE_UINT16", np.dtype(np.int16): "TYPE_INT16"}
_FLOAT = "TYPE_FP32"
_BACKEND = re.compile(r'^\s*(?:backend|platform)\s*:\s*"([^"]*)"', re.MULTILINE)
_NAME = re.compile(r'^\s*name\s*:\s*"[^"]*"\s*$', re.MULTILINE)


def lay(
    card: ModelCard,
    package: Path,
    place: Path,
    environment: Path | None = None,
    *,
    trusted: bool = False,
    native: Mapping[str, str] | None = None,
) -> None:
    """Put a package into a model repository: the folder `place`, whose name is that by which Triton serves it.

    What is there already is replaced, whole or not at all.

    Args:
        card: of the package.
        package: its folder.
        place: where it goes.
        environment: the folder from which its code imports; None: Triton's own.
        trusted: whether a Python model of its own may run in Triton itself: not confined, and kept loaded.
        native: the model that runs its network, see `services.catalogue.networks`; None: our runner does.

    Raises:
        PackageRefusedError: the card cannot be used, or its files are not there.
    """
    with coming(place) as made:
        try:
            if is_tritons(card, package) or (card.kind is PackageKind.TRITON and trusted):
                _own(package, made, place.name)
            else:
                # Relative: Triton may see the same folders elsewhere.
                site = os.path.relpath(environment, place / "package") if environment is not None else None
                _run_by_ours({**described_card(card, site), "native": native}, card, package, made, place.name)
        except CardError as error:
            raise PackageRefusedError(str(error)) from None


@contextmanager
def coming(place: Path) -> Iterator[Path]:
    """A folder to be made, which then takes the place of what is at `place`, whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".coming-", dir=place.parent) as name:
        made, old = Path(name) / "new", Path(name) / "old"
        yield made
        if place.exists():
            place.rename(old)
        made.rename(place)


def is_tritons(card: ModelCard, package: Path) -> bool:
    """Whether a package brings a model for one of Triton's own backends, which nothing but Triton can run."""
    config = package / "triton" / "config.pbtxt"
    if card.kind is not PackageKind.TRITON or not config.is_file():
        return False
    named = _BACKEND.search(config.read_text(encoding="utf-8"))
    return named is not None and named[1] != "python"


def _own(package: Path, made: Path, served: str) -> None:
    if not (package / "triton" / "config.pbtxt").is_file():
        raise PackageRefusedError("there is no triton/config.pbtxt in it")
    shutil.copytree(package / "triton", made, ignore=_IGNORED)
    config = made / "config.pbtxt"
    text = _NAME.sub("", config.read_text(encoding="utf-8"), count=1)
    config.unlink()  # what is kept is read-only
    config.write_text(f'name: "{served}"\n{text.lstrip()}', encoding="utf-8")


def _run_by_ours(described: Mapping[str, Any], card: ModelCard, package: Path, made: Path, served: str) -> None:
    if described["code"] and not (package / described["code"]["main"]).is_file():
        raise PackageRefusedError(f"the package lacks the file {described['code']['main']}")
    shutil.copytree(RUNNER, made / "1", ignore=_IGNORED)
    shutil.copytree(package, made / "package", ignore=_IGNORED)
    (made / "package" / "card.json").write_text(json.dumps(described), encoding="utf-8")
    (made / "config.pbtxt").write_text(configuration(card, served), encoding="utf-8")


def described_card(card: ModelCard, environment: str | None = None) -> dict[str, Any]:
    """The card for the runner: as its author wrote it, with every default filled in.

    Args:
        card: the card.
        environment: from where the package's code imports, seen from the package; None: Triton's own.

    Raises:
        CardError: it cannot be used.
    """
    raw = environment is not None or card.kind is PackageKind.TRITON
    processing, code = processing_of(card), code_of(card, raw=raw)
    if processing is None and code is None:
        raise CardError(f"a package of kind {card.kind} is imported first, see docs/models.md")
    return {
        **card.source,
        "kind": card.kind,
        "owed": list(promised(card)),
        "processing": processing and processing.plain(),
        "code": code and code.plain(),
        "environment": environment,
    }


def configuration(card: ModelCard, served: str) -> str:
    """Triton's `config.pbtxt` of a model that our runner serves, by the name of `served`."""
    units, free = units_of(card), "-1"
    inputs = ",\n".join(
        [
            _volume(card.main_input),
            '  { name: "spacing" data_type: TYPE_FP64 dims: [ 3 ] }',
            '  { name: "direction" data_type: TYPE_FP64 dims: [ 3, 3 ] }',
            *(line for one in card.more_inputs for line in _beside(one)),
        ]
    )
    dims = {
        Output.LABELS: (_TYPES[np.dtype(label_type(card))], "-1, -1, -1"),
        Output.PROBABILITIES: ("TYPE_UINT8", "-1, -1, -1, -1"),
        Output.MEASUREMENTS: (_FLOAT, "-1, -1"),
        Output.MAP: (_FLOAT, "-1, -1, -1"),
        Output.BOXES: (_FLOAT, "-1, 6"),
        Output.BOX_LABELS: ("TYPE_UINT16", free),
        Output.BOX_SCORES: (_FLOAT, free),
        Output.CLASSES: (_FLOAT, free),
        Output.IMAGE: ("TYPE_UINT8", "-1, -1, -1, 3") if units is Units.RGB else ("TYPE_UINT16", "-1, -1, -1"),
    }
    outputs = ",\n".join(
        f'  {{ name: "{one}" data_type: {kind} dims: [ {shape} ] }}'
        for one, (kind, shape) in [*((one, dims[one]) for one in promised(card)), (PLACES, ("TYPE_STRING", "1"))]
    )
    return f"""name: "{served}"
backend: "python"
max_batch_size: 0
input [
{inputs}
]
output [
{outputs}
]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
"""


def _volume(wanted: CardInput) -> str:
    units = units_of(wanted)
    sample = _TYPES.get(np.dtype(sample_type(units)), _FLOAT)
    shape = "-1, -1, -1" + (", 3" if units is Units.RGB else "")
    # Optional, for it may lie in shared memory that a parameter names.
    return f'  {{ name: "{wanted.name}" data_type: {sample} dims: [ {shape} ] optional: true }}'


def _beside(wanted: CardInput) -> list[str]:
    """A further input and where it lies."""
    optional = "" if wanted.required else " optional: true"
    shapes = zip(geometry_names(wanted.name), ("3", "3, 3", "3"), strict=True)
    return [
        _volume(wanted),
        *(f'  {{ name: "{name}" data_type: TYPE_FP64 dims: [ {shape} ]{optional} }}' for name, shape in shapes),
    ]
