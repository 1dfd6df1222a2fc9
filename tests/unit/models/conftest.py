"""The algorithms of the model packages, loaded as Triton's backend does: with their own folder on the path."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

import pytest

MODELS = Path(__file__).resolve().parents[3] / "models"


def load(package: str, module: str) -> ModuleType:
    """Imports `module` of a package. `grid` and `body` are the same in all packages (a test keeps them so)."""
    folder = str(MODELS / package / "triton" / "1")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module(module)
    finally:
        sys.path.remove(folder)


@pytest.fixture(scope="session")
def lungs() -> ModuleType:
    """`models/ct-lung/triton/1/lungs.py`."""
    return load("ct-lung", "lungs")


@pytest.fixture(scope="session")
def bone() -> ModuleType:
    """`models/ct-bone/triton/1/bone.py`."""
    return load("ct-bone", "bone")
