"""Every model package is whole: a card that reads, tensors that fit it, codes that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from pydicom.sr.codedict import codes

from services.contracts.card import Code, ModelCard
from tests.unit.models.conftest import MODELS

PACKAGES = sorted(path.parent for path in MODELS.glob("*/model.yaml"))
VERIFIED_ELSEWHERE = {
    # Not in pydicom's dictionary, but in SNOMED CT: 44029006 |Left lung structure|, 3341006 |Right lung structure|.
    ("SCT", "44029006"),
    ("SCT", "3341006"),
    ("UCUM", "mL"),
}


def card_of(package: Path) -> ModelCard:
    return ModelCard.from_mapping(yaml.safe_load((package / "model.yaml").read_text("utf-8")))


def codes_of(card: ModelCard) -> list[Code]:
    found = [code for label in card.labels for code in (label.category, label.type)]
    return found + [code for item in card.measurements for code in (item.quantity, item.unit)]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_a_card_names_its_folder_and_says_that_it_is_not_for_clinical_use(package: Path) -> None:
    card = card_of(package)
    assert card.name == package.name
    assert "Not for clinical use" in card.intended_use


@pytest.mark.parametrize("package", PACKAGES, ids=lambda path: path.name)
def test_every_code_is_a_true_code_or_openly_private(package: Path) -> None:
    for code in codes_of(card_of(package)):
        assert len(code.code) <= 16 and len(code.meaning) <= 64  # PS3.5 6.2: SH and LO
        if code.scheme.startswith("99") or (code.scheme, code.code) in VERIFIED_ELSEWHERE:
            continue
        scheme = getattr(codes, code.scheme)
        assert any(getattr(scheme, name).value == code.code for name in scheme.dir()), code


def test_modules_that_packages_carry_a_copy_of_are_equal() -> None:
    for name in ("grid.py", "body.py"):
        copies = {path.read_bytes() for path in MODELS.glob(f"*/triton/1/{name}")}
        assert len(copies) == 1, name


def test_packages_need_nothing_but_numpy_and_scipy() -> None:
    allowed = {
        "__future__",
        "collections",
        "dataclasses",
        "itertools",
        "typing",
        "numpy",
        "scipy",
        "triton_python_backend_utils",
    }
    for path in MODELS.glob("*/triton/1/*.py"):
        siblings = {other.stem for other in path.parent.glob("*.py")}
        imported = set(re.findall(r"^(?:from|import) ([A-Za-z_]+)", path.read_text("utf-8"), re.MULTILINE))
        assert imported <= allowed | siblings, path
