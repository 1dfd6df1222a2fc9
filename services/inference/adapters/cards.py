"""Model cards in a folder of packages: each `*/model.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import yaml

from services.contracts.card import CardError, ModelCard
from services.contracts.code import code_of
from services.contracts.processing import processing_of
from services.contracts.tensors import promised, units_of
from services.inference.errors import CardsUnusable


def read_cards(folder: Path) -> Mapping[str, ModelCard]:
    """The cards of a folder, by the models' names.

    Raises:
        CardsUnusable: the folder is not there, or a card cannot be used.
    """
    if not folder.is_dir():
        raise CardsUnusable("*", "the folder of models is not there (PLEXUS_INFERENCE_MODELS_FOLDER)")
    cards: dict[str, ModelCard] = {}
    for path in sorted(folder.glob("*/model.yaml")):
        package = path.parent.name
        try:
            card = ModelCard.from_mapping(yaml.safe_load(path.read_text(encoding="utf-8")))
            units_of(card)
            promised(card)
            processing_of(card)
            code_of(card)
        except (yaml.YAMLError, UnicodeDecodeError):
            raise CardsUnusable(package, "model.yaml is not YAML") from None
        except OSError:
            raise CardsUnusable(package, "model.yaml cannot be read") from None
        except CardError as error:
            raise CardsUnusable(package, str(error)) from None
        if card.name in cards:
            raise CardsUnusable(package, "two packages have the same model name")
        cards[card.name] = card
    return cards
