"""Networks run by a backend of Triton's own, as on a fleet.

The packages of Triton that can be had here have no ONNX Runtime backend. Its place takes a backend of that name in
Python (Triton looks for `<backends>/<name>/model.py` where there is no library): the model repository, Triton's own
completion of the configuration and the calls from model to model are the real ones.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from services.catalogue.adapters import triton as serving
from services.catalogue.networks import model_of
from services.contracts.card import ModelCard
from services.inference.errors import ModelFailed
from services.launcher.parts.triton import Triton
from services.launcher.settings import Settings
from services.launcher.setup import triton as environment
from tests.integration.inference_parts import wait_until_ready
from tests.integration.test_inference_packages import ask
from tests.unit.inference.fakes import CARD
from tests.unit.inference.networks import above

BACKEND = """
import onnxruntime
import triton_python_backend_utils as triton


def session():
    return onnxruntime.InferenceSession(triton.get_model_dir() + "/model.onnx", providers=["CPUExecutionProvider"])


def told(tensors):
    dims = [[-1 if isinstance(one, str) else one for one in tensor.shape] for tensor in tensors]
    return [{"name": one.name, "data_type": "TYPE_FP32", "dims": shape} for one, shape in zip(tensors, dims)]


class TritonPythonModel:
    @staticmethod
    def auto_complete_config(config):
        network = session()
        for one in told(network.get_inputs()):
            config.add_input(one)
        for one in told(network.get_outputs()):
            config.add_output(one)
        return config

    def initialize(self, args):
        self.network = session()
        self.input, self.output = self.network.get_inputs()[0].name, self.network.get_outputs()[0].name

    def execute(self, requests):
        answers = []
        for request in requests:
            given = triton.get_input_tensor_by_name(request, self.input).as_numpy()
            (made,) = self.network.run([self.output], {self.input: given})
            answers.append(triton.InferenceResponse([triton.Tensor(self.output, made)]))
        return answers
"""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A Triton with a backend that is called onnxruntime."""
    settings = Settings.on_free_ports(tmp_path_factory.mktemp("fleet"))
    backends = settings.data / "backends"
    (backends / "onnxruntime").mkdir(parents=True)
    (backends / "onnxruntime" / "model.py").write_text(BACKEND)
    own = environment.installation().backends
    (backends / "python").symlink_to(own / "python")
    part = Triton(settings)
    program = part.prepare()
    argv = [str(backends) if one == str(own) else one for one in program.argv]
    process = subprocess.Popen(
        argv, env=dict(program.environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until_ready(process, settings)
        yield settings
    finally:
        process.terminate()
        process.wait(60)
        part.tidy()


async def test_a_network_runs_in_tritons_own_backend_and_says_what_it_says_in_python(
    fleet: Settings, tmp_path: Path
) -> None:
    (tmp_path / "network.onnx").write_bytes(above(57))
    block = {"window": {"size": [3, 8, 8], "overlap": 0.25}, "measure": ["volume-ml"]}
    card = ModelCard.from_mapping({**CARD, "kind": "onnx", "processing": block})
    volume = np.random.default_rng(5).integers(-100, 200, (5, 20, 30), np.int16)
    address, repository = fleet.address("triton_grpc"), fleet.data / "triton" / "models"
    async with serving.connected(address, repository, load_seconds=60, backends=("onnxruntime",)) as server:
        await server.serve(card.served, tmp_path, card)
        assert await server.loaded() == {card.served, model_of(card.served)}
        answer = await ask(address, card, volume)
        assert answer.labels is not None and np.array_equal(answer.labels, np.where(volume > 57, 3, 0))
        await server.withdraw(card.served)
        assert await server.loaded() == frozenset() and not list(repository.iterdir())
    async with serving.connected(address, repository, load_seconds=60) as server:
        await server.serve(card.served, tmp_path, card)
        assert await server.loaded() == {card.served}
        again = await ask(address, card, volume)
        assert again.labels is not None and np.array_equal(again.labels, answer.labels)
        await server.withdraw(card.served)


async def test_what_the_backend_says_of_a_wrong_input_is_the_jobs_reason(fleet: Settings, tmp_path: Path) -> None:
    (tmp_path / "network.onnx").write_bytes(above(57))
    card = ModelCard.from_mapping(
        {**CARD, "name": "wide", "kind": "onnx", "measurements": [], "processing": {"channels": 3}}
    )
    address = fleet.address("triton_grpc")
    repository = fleet.data / "triton" / "models"
    async with serving.connected(address, repository, load_seconds=60, backends=("onnxruntime",)) as server:
        await server.serve(card.served, tmp_path, card)
        with pytest.raises(ModelFailed, match=r"does not take an input of \[1, 3, 4, 5, 6\]"):
            await ask(address, card, np.zeros((4, 5, 6), np.int16))
        await server.withdraw(card.served)
