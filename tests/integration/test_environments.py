"""Packages with an environment of their own, by the catalogue and on a real Triton: what their code has."""

from __future__ import annotations

import asyncio
import ctypes
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from services.launcher.authoring import trial
from tests import wheels
from tests.integration.test_catalogue import Site, site, triton_of_its_own  # noqa: F401  # fixtures
from tests.unit.contracts.test_card import CARD
from tests.unit.inference.series import make_slice

TOOL = """
import os
import socket
import numpy as np
import bright
from image_processing_tool import ImageProcessingTool
from processing_result import ProcessingResult

def tried(action):
    try:
        action()
    except (ImportError, OSError) as error:
        return type(error).__name__
    return "done"

class Bright(ImageProcessingTool):
    def version_id(self): return "1.0.0"
    def description(self): return "what is bright, by a library of its own"
    def can_process_image(self, img): return True
    def process(self, img):
        volume = img.as_numpy()
        match int(volume[0, 0, 0]):
            case 1: np.ones(1 << 29)
            case 2:
                while True: pass
            case 3: os.kill(os.getpid(), 11)
            case 4: raise RuntimeError(" ".join(map(tried, (
                lambda: __import__("services"), lambda: __import__("onnxruntime"), lambda: __import__("scipy"),
                lambda: socket.create_connection(("127.0.0.1", 9)), lambda: open("OTHER"),
                lambda: os.listdir("/dev/shm"), lambda: os.kill(os.getppid(), 15),
                lambda: open(bright.__file__, "a"), lambda: open("mine", "w"),
            ))))
        result = ProcessingResult(self.name(), {"One": {"volume": bright.VERSION}})
        result.arrays["labels"] = bright.labels(volume)
        return result
"""
RAW = """
import bright
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args): self.name = args["model_name"]
    def execute(self, requests):
        (request,) = requests
        volume = pb_utils.get_input_tensor_by_name(request, "volume").as_numpy()
        if volume[0, 0, 0] == 5:
            return [pb_utils.InferenceResponse(error=pb_utils.TritonError(f"{self.name} does not like it"))]
        tensors = [pb_utils.Tensor("labels", bright.labels(volume))]
        return [pb_utils.InferenceResponse([*tensors, pb_utils.Tensor("measurements", np.array([[bright.VERSION]]))])]
"""
BRIGHT = "VERSION = 7\ndef labels(volume): return (volume > 100).astype('uint8')\n"
SPACE = {"spacing": np.ones(3), "direction": np.eye(3)}


@pytest.fixture(scope="module")
def lock(site: Site) -> str:  # noqa: F811
    """A lock file whose wheels the catalogue has, and an index has not."""
    folder = site.shipped.parent / "wheels"
    return f"{wheels.numpy(folder)}\n{wheels.pure(folder, 'bright', '1.0', BRIGHT)}\n"


def package(folder: Path, lock: str, cases: dict[str, int], kind: str = "tool", **changes: Any) -> Path:
    made = folder / f"{kind}-ct"
    code = made / ("triton/1/model.py" if kind == "triton" else "tool.py")
    code.parent.mkdir(parents=True)
    code.write_text(RAW if kind == "triton" else TOOL.replace("OTHER", str(Path(__file__).resolve())))
    limits = {"timeout_seconds": 60, "code": {"memory_mb": 512}}
    card = {**CARD, "name": made.name, "kind": kind, "version": "1.0.0", **limits, **changes}
    (made / "model.yaml").write_text(yaml.safe_dump({**card, "input": {"kind": "volume", "units": "HU"}}))
    (made / "requirements.lock").write_text(lock)
    for name, first in cases.items():
        case = made / "tests" / name
        case.mkdir(parents=True)
        volume = np.full((2, 8, 8), 200, np.int16)
        volume[0, 0, 0] = first
        np.savez_compressed(case / "input.npz", volume=volume, **SPACE)
        labels = (volume > 100).astype(np.uint8)
        np.savez_compressed(case / "expected.npz", labels=labels, measurements=np.array([[7]], np.float32))
    return made


async def test_code_runs_in_its_own_environment_and_whatever_it_does_fails_that_request_alone(
    site: Site,  # noqa: F811
    lock: str,
    tmp_path: Path,
) -> None:
    cases = {"1-well": 0, "2-memory": 1, "3-crash": 3, "4-asks-for-more": 4, "5-well": 0}
    packages = (
        package(tmp_path, lock, cases),
        package(tmp_path / "loop", lock, {"loop": 2}, name="loop-ct", timeout_seconds=2),
    )
    checks = (asyncio.to_thread(site.commands.checked, one) for one in packages)
    version, endless = await asyncio.gather(*checks)
    await asyncio.to_thread(site.commands.move, "loop-ct", "1.0.0", "retire")
    said = {case["case"]: " ".join(case["problems"]) for one in (version, endless) for case in one["report"]["cases"]}
    assert version["report"]["problems"] == endless["report"]["problems"] == []
    assert said["1-well"] == said["5-well"] == ""
    assert "needs more memory than the 512 MiB of its card" in said["2-memory"]
    assert re.search("stopped after 2 s|took longer than 2 seconds", said["loop"])  # whoever was first
    assert "ended by SIGSEGV" in said["3-crash"]
    # Nothing of Plexus, of Triton's environment; no network; and with Landlock no file of others, no volume of another
    # job, no signal to Triton, no change of the environment. Its own folder is its own.
    refused = {**dict.fromkeys(range(3), "ModuleNotFoundError"), 3: "PermissionError", 8: "done"}
    if ctypes.CDLL(None).syscall(444, None, 0, 1) >= 6:  # landlock_create_ruleset: which version
        refused |= dict.fromkeys(range(4, 8), "PermissionError")
    outcome = said["4-asks-for-more"].partition("RuntimeError: ")[2].split()
    assert {number: outcome[number] for number in refused} == refused


async def test_versions_share_an_environment_and_the_last_one_takes_it_along(
    site: Site,  # noqa: F811
    lock: str,
    tmp_path: Path,
) -> None:
    commands, told = site.commands, list[str]()
    for kind in ("tool", "triton"):
        version = await asyncio.to_thread(commands.checked, package(tmp_path, lock, {"one": 0}, kind), told.append)
        assert version["report"]["passed"], version["report"]
    path = "/models/{}/versions/1.0.0/environment"
    found = [commands.ask("GET", path.format(f"{kind}-ct")).json() for kind in ("tool", "triton")]
    assert found[0] == found[1] and (found[0]["state"], found[0]["packages"]) == ("ready", 2)
    commands.move("triton-ct", "1.0.0", "publish")
    commands.move("triton-ct", "1.0.0", "retire")
    assert commands.ask("GET", path.format("tool-ct")).json()["state"] == "ready"
    commands.move("tool-ct", "1.0.0", "retire")
    assert commands.ask("GET", path.format("tool-ct")).json()["state"] == "missing"


async def test_an_environment_that_cannot_be_built_fails_the_check_in_words(
    site: Site,  # noqa: F811
    lock: str,
    tmp_path: Path,
) -> None:
    wrong = lock.replace("bright==1.0", "bright==3.0")
    version = await asyncio.to_thread(site.commands.checked, package(tmp_path, wrong, {"one": 0}, name="wrong-ct"))
    (problem,) = version["report"]["problems"]
    assert "requirements.lock cannot be built" in problem and "bright==3.0" in problem
    assert version["state"] == "draft"


def test_a_trial_has_the_same_environment(
    site: Site,  # noqa: F811
    lock: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PLEXUS_DATA", str(tmp_path))
    monkeypatch.setenv("PLEXUS_CATALOGUE_WHEELS_FOLDER", str(site.shipped.parent / "wheels"))
    images, told = tmp_path / "images", list[str]()
    images.mkdir()
    for index in range(4):
        (images / f"{index}.dcm").write_bytes(make_slice(index))
    for kind in ("tool", "triton"):
        outcome, given = trial.try_package(package(tmp_path, lock, {}, kind), images, tell=told.append)
        assert outcome.prediction.measurements is not None and outcome.prediction.measurements[0, 0] == 7
        assert np.array_equal(outcome.prediction.labels, given["volume"].volume > 100)
    assert told == ["building its environment of 2 packages, once for this lock file"]
