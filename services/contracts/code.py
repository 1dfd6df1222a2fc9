"""How a package of kind `tool` or `application` is started: the card's block `code`, checked."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from services.contracts.card import CardError, ModelCard, PackageKind
from services.contracts.processing import processing_of

CODED = (PackageKind.TOOL, PackageKind.APPLICATION)
"""The kinds whose packages hold code, which runs confined."""

_MAIN = {PackageKind.APPLICATION: "main.py", PackageKind.TRITON: "triton/1/model.py"}
_KEYS = {"main", "class", "modules", "memory_mb"}
_LIMITS = {"memory_mb"}
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_MEMORY_MB = (64, 1 << 20)


@dataclass(frozen=True, slots=True)
class CodeEntry:
    """The block `code`.

    Attributes:
        main: the file, in the package: what is started, or the network.
        class_name: the class to make; empty: the only one in `main` that fits.
        modules: names of modules of the publisher's framework for which ours stand in.
        memory_mb: that the code may take above what Python and NumPy take.
        seconds: by the clock, the card's.
    """

    main: str
    class_name: str
    modules: tuple[str, ...]
    memory_mb: int
    seconds: float

    def plain(self) -> dict[str, Any]:
        """As JSON: what the runner in Triton reads."""
        return asdict(self)


def code_of(card: ModelCard, *, raw: bool = False) -> CodeEntry | None:
    """The block of a card whose kind has one, else None.

    Args:
        card: the card.
        raw: whether a package of another kind is run as those with code are, confined: it has an environment.

    Raises:
        CardError: it says something that cannot be; the text names the key.
    """
    if card.kind not in CODED and not raw:
        return None
    block = card.source.get("code", {})
    if not isinstance(block, Mapping):
        raise CardError("the model card is malformed at the key 'code': keys and values are expected")
    processing = processing_of(card)
    strange = sorted(set(map(str, block)) - (_KEYS if processing is None else _LIMITS))
    if strange:
        raise CardError(f"the model card's code has keys that are not known: {', '.join(strange)}")
    network = processing.network if processing is not None else ""
    main = PurePosixPath(network or str(block.get("main", _MAIN.get(card.kind, "tool.py"))))
    if main.is_absolute() or ".." in main.parts or (main.suffix != ".py" and not network):
        raise CardError("the model card is malformed at the key 'code.main': a Python file in the package is expected")
    modules = block.get("modules", ())
    if isinstance(modules, str) or not all(_NAME.fullmatch(str(name)) for name in modules):
        raise CardError("the model card is malformed at the key 'code.modules': a list of module names is expected")
    memory = block.get("memory_mb", 2048)
    if not isinstance(memory, int) or not _MEMORY_MB[0] <= memory <= _MEMORY_MB[1]:
        raise CardError("the model card is malformed at the key 'code.memory_mb': MiB, at least 64, are expected")
    return CodeEntry(str(main), str(block.get("class", "")), tuple(map(str, modules)), memory, card.timeout_seconds)
