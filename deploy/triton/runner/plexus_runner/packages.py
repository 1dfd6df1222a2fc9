"""Which runner a package needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from plexus_runner.confined import CodeRunner
from plexus_runner.networks import open_network, served_network
from plexus_runner.pipeline import Pipeline
from plexus_runner.question import Question
from plexus_runner.refusals import Refused


class Runner(Protocol):
    """Makes of an input the arrays that the card promises."""

    def run(self, question: Question) -> dict[str, NDArray[Any]]:
        """The outputs, by name.

        Raises:
            Refused: with what to do.
        """


def runner_of(package: Path, card: dict[str, Any]) -> Runner:
    """The runner for a package with this card (as `services.catalogue.repository` wrote it)."""
    kind = card["kind"]
    if card.get("code"):
        return CodeRunner(card, package)
    if kind in ("onnx", "torchscript"):
        native = card.get("native")
        network = served_network(native) if native else open_network(kind, package / card["processing"]["network"])
        return Pipeline(card, network)
    raise Refused(f"a package of kind {kind} is not run here")
