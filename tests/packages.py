"""Model packages as the catalogue keeps them, for tests that do without it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from services.catalogue.adapters.folder import FolderPackages
from services.catalogue.repository import lay
from services.contracts.card import ModelCard

SHIPPED = Path(__file__).resolve().parents[1] / "models"


def shipped_cards() -> dict[str, ModelCard]:
    """The cards of the packages that come with Plexus, by name."""
    with_none = FolderPackages(SHIPPED, max_bytes=0)
    return {package.card.name: package.card for package in with_none.read_all(SHIPPED)}


def keep(folder: Path, sources: Iterable[Path]) -> None:
    """Put packages into a folder, `<name>/<version>/`."""
    packages = FolderPackages(folder, max_bytes=1 << 30)
    for source in sources:
        packages.keep(packages.read(source))


def keep_shipped(folder: Path) -> None:
    """Put what comes with Plexus into a folder."""
    keep(folder, (path.parent for path in SHIPPED.glob("*/model.yaml")))


def serve_shipped(repository: Path) -> list[str]:
    """Lay what comes with Plexus into a Triton's model repository; gives the names to load."""
    served = []
    for name, card in shipped_cards().items():
        lay(card, SHIPPED / name, repository / card.served)
        served.append(card.served)
    return served
