"""Triton's model repository, made of packages: `python -m services.launcher.repository PACKAGES REPOSITORY`.

A package of kind `triton` brings its own model. All others are given the same one (`deploy/triton/runner`), with their
files and their card, as JSON, in a folder `package` beside it; the tensors follow from the card.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from services.contracts.card import CardError, ModelCard, PackageKind
from services.contracts.code import code_of
from services.contracts.processing import processing_of
from services.contracts.tensors import Output, Units, label_type, promised, sample_type, units_of
from services.launcher.errors import StartFailed

RUNNER = Path(__file__).resolve().parents[2] / "deploy" / "triton" / "runner"

_IGNORED = shutil.ignore_patterns("__pycache__", "*.pyc", ".*", "training")
_TYPES = {np.dtype(np.uint8): "TYPE_UINT8", np.dtype(np.uint16): "TYPE_UINT16", np.dtype(np.int16): "TYPE_INT16"}
_FLOAT = "TYPE_FP32"


def lay(packages: Path, repository: Path) -> list[str]:
    """Makes the repository anew; returns the names of its models. Packages of kind `external` are not Triton's.

    Raises:
        StartFailed: there is no package, or a card cannot be used.
    """
    shutil.rmtree(repository, ignore_errors=True)
    names = []
    for path in sorted(packages.glob("*/model.yaml")):
        try:
            card = ModelCard.from_mapping(yaml.safe_load(path.read_text(encoding="utf-8")))
            if lay_one(card, path.parent, repository / card.name):
                names.append(card.name)
        except (CardError, yaml.YAMLError, OSError) as error:
            raise StartFailed(f"the model package {path.parent.name} cannot be used: {error}") from None
    if not names:
        raise StartFailed(f"there is no model package in {packages}")
    return names


def lay_one(card: ModelCard, package: Path, entry: Path) -> bool:
    """Makes one model's entry; False where Triton is not to run it.

    Raises:
        CardError: the card cannot be used.
    """
    if card.kind is PackageKind.EXTERNAL:
        return False
    if card.kind is PackageKind.TRITON:
        shutil.copytree(package / "triton", entry, ignore=_IGNORED)
        return True
    described = described_card(card)
    shutil.copytree(RUNNER, entry / "1", ignore=_IGNORED)
    shutil.copytree(package, entry / "package", ignore=_IGNORED)
    (entry / "package" / "card.json").write_text(json.dumps(described), encoding="utf-8")
    (entry / "config.pbtxt").write_text(configuration(card), encoding="utf-8")
    return True


def described_card(card: ModelCard) -> dict[str, Any]:
    """The card for the runner: as its author wrote it, with every default filled in.

    Raises:
        CardError: it cannot be used.
    """
    processing, code = processing_of(card), code_of(card)
    if processing is None and code is None:
        raise CardError(f"a package of kind {card.kind} is imported first, see docs/models.md")
    return {
        **card.source,
        "kind": card.kind,
        "owed": list(promised(card)),
        "processing": processing and processing.plain(),
        "code": code and code.plain(),
    }


def configuration(card: ModelCard) -> str:
    """Triton's `config.pbtxt` of a model that our runner serves."""
    units = units_of(card)
    sample = _TYPES.get(np.dtype(sample_type(units)), _FLOAT)
    free, volume = "-1", "-1, -1, -1" + (", 3" if units is Units.RGB else "")
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
        f'  {{ name: "{one}" data_type: {dims[one][0]} dims: [ {dims[one][1]} ] }}' for one in promised(card)
    )
    return f"""name: "{card.name}"
backend: "python"
max_batch_size: 0
input [
  {{ name: "volume" data_type: {sample} dims: [ {volume} ] }},
  {{ name: "spacing" data_type: TYPE_FP64 dims: [ 3 ] }},
  {{ name: "direction" data_type: TYPE_FP64 dims: [ 3, 3 ] }}
]
output [
{outputs}
]
instance_group [ {{ count: 1 kind: KIND_CPU }} ]
"""


if __name__ == "__main__":
    print("\n".join(lay(Path(sys.argv[1]), Path(sys.argv[2]))))
