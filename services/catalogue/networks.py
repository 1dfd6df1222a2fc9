"""Networks that a backend of Triton's own runs, where the site's Triton has it: on a fleet, on its GPUs.

The package stays the same. Its network is laid as a model beside the one that our runner serves; the runner declares,
cuts and blends as always, and asks that model window by window (Triton's business logic scripting).
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from services.catalogue.errors import PackageRefusedError
from services.catalogue.repository import coming
from services.contracts.boxes import BoxSource
from services.contracts.card import CardError, ModelCard, PackageKind
from services.contracts.processing import Processing, processing_of
from services.contracts.tensors import Output, promised

_BACKENDS = {PackageKind.ONNX: ("onnxruntime", "model.onnx"), PackageKind.TORCHSCRIPT: ("pytorch", "model.pt")}
BACKENDS = frozenset(name for name, _ in _BACKENDS.values())
"""Those of Triton's own that may run a network."""
_SPATIAL = {Output.LABELS, Output.PROBABILITIES, Output.MAP, Output.IMAGE, Output.BOXES}


@dataclass(frozen=True, slots=True)
class Native:
    """The model that is a package's network.

    Attributes:
        model: by which Triton serves it.
        input, output: the names of its tensors.
        type: of the input, Triton's word.
    """

    model: str
    input: str
    output: str
    type: str

    def plain(self) -> dict[str, str]:
        """As JSON: what the runner in Triton reads."""
        return asdict(self)


def runs(card: ModelCard, backends: Collection[str]) -> bool:
    """Whether one of these backends can run the network of a card.

    Raises:
        CardError: the card cannot be used.
    """
    if card.kind not in _BACKENDS or _BACKENDS[card.kind][0] not in backends:
        return False
    boxes = processing.boxes if (processing := processing_of(card)) is not None else None
    # How many axes a table of boxes has, a TorchScript does not tell, and Triton has to be told.
    return card.kind is PackageKind.ONNX or boxes is None or boxes.source is BoxSource.MAP


def model_of(served: str) -> str:
    """The name of the network of what is served by the name of `served`."""
    return f"{served}.network"


def lay(card: ModelCard, package: Path, place: Path) -> None:
    """Put a package's network into a model repository: the folder `place`, whose name is its model's.

    Raises:
        PackageRefusedError: the card cannot be used, or the network is not there.
    """
    try:
        processing = processing_of(card)
    except CardError as error:
        raise PackageRefusedError(str(error)) from None
    if processing is None or not (package / processing.network).is_file():
        raise PackageRefusedError("the package lacks the file that its card names as network")
    backend, file = _BACKENDS[card.kind]
    with coming(place) as made:
        (made / "1").mkdir(parents=True)
        shutil.copyfile(package / processing.network, made / "1" / file)
        (made / "config.pbtxt").write_text(_configuration(card, processing, place.name, backend), encoding="utf-8")


def _configuration(card: ModelCard, processing: Processing, model: str, backend: str) -> str:
    """Its `config.pbtxt`. Of ONNX Triton finds the tensors itself; TorchScript has no names for them."""
    text = f'name: "{model}"\nbackend: "{backend}"\nmax_batch_size: 0\n'
    if backend != "pytorch":
        return text
    space = ["-1"] * processing.dimensions
    given = ", ".join(["-1", str(processing.channels), *space])
    answered = ", ".join(["-1", "-1", *(space if _SPATIAL & set(promised(card)) else [])])
    return (
        f'{text}input [ {{ name: "INPUT__0" data_type: TYPE_FP32 dims: [ {given} ] }} ]\n'
        f'output [ {{ name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ {answered} ] }} ]\n'
    )
