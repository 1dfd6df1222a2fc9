"""Model cards in a folder of packages: each `*/model.yaml`."""

from __future__ import annotations

from pathlib import Path

import yaml

from services.contracts.card import CardError, ModelCard
from services.worklist.adapters.cel import RuleError, compile_rule
from services.worklist.errors import ModelsError
from services.worklist.ports import Candidate


def read_candidates(folder: Path) -> list[Candidate]:
    """The models of a folder, by name, each with its rule compiled.

    Raises:
        ModelsError: the folder is not there, or a card or its rule cannot be used.
    """
    if not folder.is_dir():
        raise ModelsError("*", "the folder of models is not there (PLEXUS_WORKLIST_MODELS_FOLDER)")
    candidates: dict[str, Candidate] = {}
    for path in sorted(folder.glob("*/model.yaml")):
        candidate = _read(path)
        if candidate.card.name in candidates:
            raise ModelsError(candidate.card.name, "two packages have this name")
        candidates[candidate.card.name] = candidate
    return list(candidates.values())


def _read(path: Path) -> Candidate:
    package = path.parent.name
    try:
        card = ModelCard.from_mapping(yaml.safe_load(path.read_text(encoding="utf-8")))
        return Candidate(card, compile_rule(card.selection))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ModelsError(package, "model.yaml is not YAML") from error
    except OSError as error:
        raise ModelsError(package, "model.yaml cannot be read") from error
    except CardError as error:
        raise ModelsError(package, str(error)) from error
    except RuleError as error:
        raise ModelsError(package, f"its selection rule cannot be used: {error}") from error
