"""Model cards in the folder of packages that the catalogue keeps: `<name>/<version>/model.yaml`."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from services.contracts.card import CardError, ModelCard
from services.contracts.code import code_of
from services.contracts.processing import processing_of
from services.contracts.remote import remote_of
from services.contracts.tensors import promised, units_of
from services.inference.errors import CardUnusable

_PLAIN = re.compile(r"[a-z0-9][a-z0-9.-]{0,63}")
"""What may be the name of a folder: a name comes with an event, and must not lead elsewhere."""


class PackageCards:
    """The cards of versions. Each is read once, and again where its file is another: what is not published may be
    replaced, and may run beside the active version."""

    def __init__(self, folder: Path) -> None:
        """Read below `folder`. It need not be there yet."""
        self._folder = folder
        self._read: dict[tuple[str, str], tuple[int, ModelCard]] = {}

    def find(self, model: str, version: str) -> ModelCard | None:
        """The card of a version, or None if there is no such version.

        Raises:
            CardUnusable: there is one, and it cannot be used.
        """
        if not _PLAIN.fullmatch(model) or not _PLAIN.fullmatch(version):
            return None
        try:
            path = self._folder / model / version / "model.yaml"
            written = path.stat().st_mtime_ns
            known = self._read.get((model, version))
            if known is not None and known[0] == written:
                return known[1]
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError):
            raise CardUnusable(model, "model.yaml cannot be read") from None
        try:
            card = ModelCard.from_mapping(yaml.safe_load(text))
            for one in (card.main_input, *card.more_inputs):
                units_of(one)
            promised(card)
            processing_of(card)
            code_of(card)
            remote_of(card)
        except yaml.YAMLError:
            raise CardUnusable(model, "model.yaml is not YAML") from None
        except CardError as error:
            raise CardUnusable(model, str(error)) from None
        if (card.name, card.version) != (model, version):
            raise CardUnusable(model, "its folder is named after another version")
        self._read[model, version] = written, card
        return card
