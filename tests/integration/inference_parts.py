"""A real Triton for the tests of `inference`: the reference models, and one that makes trouble.

One for the session, for whichever module asks; `triton_address` is the gRPC address.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from services.catalogue.repository import lay
from services.contracts.card import ModelCard
from services.launcher.parts.triton import Triton
from services.launcher.settings import Settings
from tests.packages import serve_shipped
from tests.unit.inference.fakes import CARD

CONFIG = """
backend: "python"
max_batch_size: 0
input [
  { name: "volume" data_type: TYPE_INT16 dims: [ -1, -1, -1 ] },
  { name: "spacing" data_type: TYPE_FP64 dims: [ 3 ] },
  { name: "direction" data_type: TYPE_FP64 dims: [ 3, 3 ] }
]
output [
  { name: "labels" data_type: TYPE_UINT8 dims: [ -1, -1, -1 ] },
  { name: "measurements" data_type: TYPE_FP32 dims: [ -1, -1 ] }
]
instance_group [ { count: 1 kind: KIND_CPU } ]
"""
MODEL = """
import os, time
import numpy as np
import triton_python_backend_utils as triton

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        volume = triton.get_input_tensor_by_name(request, "volume").as_numpy()
        labels, measurements = np.zeros(volume.shape, np.uint8), np.zeros((1, 1), np.float32)
        match int(volume[0, 0, 0]):
            case 1: raise ValueError("the first voxel is one")
            case 2: time.sleep(3)
            case 3: labels = labels[1:]
            case 4: os._exit(3)
            case 5: measurements = np.zeros((2, 2), np.float32)
            case 6: labels = np.zeros(volume.shape + (2,), np.uint8)
        return triton.InferenceResponse([triton.Tensor("labels", labels), triton.Tensor("measurements", measurements)])
"""


EVERYTHING = """
import numpy as np
from image_processing_tool import ImageProcessingTool
from processing_result import ProcessingResult

class Everything(ImageProcessingTool):
    def version_id(self): return "1.0.0"
    def description(self): return "all outputs at once"
    def can_process_image(self, img): return img.as_numpy().shape[-1] == 3
    def process(self, img):
        colours = img.as_numpy()
        red = colours[..., 0]
        result = ProcessingResult(self.name(), {"Large value": {"volume": float(red.sum())}, "seen": 0.75})
        result.arrays = {
            "labels": np.where(red > 100, 300, 0), "probabilities": (red / 255.0)[None], "map": red.astype(np.float32),
            "boxes": [[0, 1, 1, 0, 2, 2]], "box_labels": [300], "box_scores": [0.5], "image": 255 - colours,
        }
        return result
"""


COMPARED = """
import time
import numpy as np
from image_processing_tool import ImageProcessingTool
from processing_result import ProcessingResult

class Compared(ImageProcessingTool):
    def version_id(self): return "1.0.0"
    def description(self): return "the sum of the prior, and of the way to it"
    def can_process_image(self, img): return True
    def process(self, img):
        if img.as_numpy()[0, 0, 0] == 77:
            time.sleep(600)
        prior = img.more.get("prior")
        told = -1 if prior is None else float(prior.as_numpy().sum() + sum(prior.metadata["offset"]))
        result = ProcessingResult(self.name(), {"volume": told})
        result.arrays["labels"] = np.zeros(img.as_numpy().shape, np.uint8)
        return result
"""


def compared_card() -> ModelCard:
    """The card of a tool that takes a prior where there is one, in other units."""
    prior = {"name": "prior", "units": "stored", "from": "earlier-studies", "required": False}
    return ModelCard.from_mapping(
        {**CARD, "name": "compared", "kind": "tool", "more_inputs": [prior], "timeout_seconds": 30}
    )


def everything_card() -> ModelCard:
    """The card of a tool on loops in colour that makes every output."""
    coded = {"code": "C0", "scheme": "99TEST", "meaning": "Test"}
    return ModelCard.from_mapping(
        {
            **CARD,
            "name": "everything",
            "kind": "tool",
            "input": {"kind": "frames", "units": "RGB"},
            "outputs": ["labels", "probabilities", "measurements", "map", "boxes", "classes", "image"],
            "labels": [{**CARD["labels"][0], "value": 300, "name": "Large value"}],
            "classes": [{"name": "seen", "type": coded}],
            "map": {"name": "red", "quantity": coded, "unit": coded},
            "timeout_seconds": 30,
        }
    )


def trouble_card(timeout_seconds: float = 60) -> ModelCard:
    """The card of the model that makes trouble."""
    return ModelCard.from_mapping({**CARD, "name": "trouble", "timeout_seconds": timeout_seconds})


@pytest.fixture(scope="session")
def triton_settings() -> Iterator[Settings]:
    """Ports and a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="plexus-test-triton-") as folder:
        yield Settings.on_free_ports(Path(folder))


@pytest.fixture(scope="session")
def triton_address(triton_settings: Settings) -> Iterator[str]:
    """A real Triton with the models that come with Plexus, and `trouble`."""
    part = Triton(triton_settings)
    program = part.prepare()
    repository = triton_settings.data / "triton" / "models"
    own = [(everything_card(), EVERYTHING), (compared_card(), COMPARED)]
    served = [trouble_card().served, *(card.served for card, _ in own), *serve_shipped(repository)]
    trouble = repository / served[0]
    (trouble / "1").mkdir(parents=True)
    (trouble / "config.pbtxt").write_text(CONFIG)
    (trouble / "1" / "model.py").write_text(MODEL)
    for card, code in own:
        package = triton_settings.data / card.name
        package.mkdir()
        (package / "tool.py").write_text(code)
        lay(card, package, repository / card.served)
    process = subprocess.Popen(
        [*program.argv, *(f"--load-model={name}" for name in served)],
        env=dict(program.environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_ready(process, triton_settings)
        yield triton_settings.address("triton_grpc")
    finally:
        process.terminate()
        process.wait(60)
        part.tidy()


def wait_until_ready(process: subprocess.Popen[bytes], settings: Settings) -> None:
    """Until a Triton that was just started answers."""
    until = time.monotonic() + 120
    while not _answers(f"http://{settings.address('triton_http')}/v2/health/ready"):
        assert process.poll() is None, "Triton ended"
        assert time.monotonic() < until, "Triton is not ready"
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except (OSError, httpx.TransportError):
        return False
