"""Tools and applications as their authors write them, in the process that confines them."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from services.catalogue.repository import RUNNER, described_card
from services.contracts.card import CardError, ModelCard
from services.contracts.code import code_of
from services.inference.model import Prediction
from services.inference.promises import check
from services.launcher.setup import triton
from tests.unit.inference.fakes import CARD
from tests.unit.inference.networks import above

sys.path.insert(0, str(RUNNER))

from plexus_runner.packages import runner_of
from plexus_runner.places import Places, view
from plexus_runner.question import Input, Question
from plexus_runner.refusals import Refused

MODELS = Path(__file__).resolve().parents[3] / "models"
VOLUME = np.arange(3 * 4 * 5, dtype=np.int16).reshape(3, 4, 5)
TOOL = """
import os, socket, sys, time
import numpy as np
from image import Image
from image_processing_tool import ImageProcessingTool
from processing_result import ProcessingResult, SegmentationResult

class Toy(ImageProcessingTool):
    def version_id(self): return "1.0.0"
    def description(self): return "a toy"
    def can_process_image(self, img: Image) -> bool: return CAN
    def process(self, PARAMETER):
        BODY
"""


def asked(
    volume: NDArray[Any] = VOLUME, spacing: tuple[float, float, float] = (2.0, 1.0, 1.0), **more: Any
) -> Question:
    return Question(Input(volume, np.array(spacing), np.eye(3)), **more)


def run(
    folder: Path, card: ModelCard, volume: NDArray[Any] = VOLUME, more: Mapping[str, Any] = MappingProxyType({})
) -> Prediction:
    described = json.loads(json.dumps(described_card(card)))
    answer = Prediction(**runner_of(folder, described).run(asked(volume, more=more)))
    check(answer, card, volume.shape[:3])
    return answer


def tool(folder: Path, body: str, *, parameter: str = "img", can: bool = True, **changes: Any) -> Prediction:
    text = TOOL.replace("PARAMETER", parameter).replace("CAN", str(can)).replace("BODY", body)
    (folder / "tool.py").write_text(text)
    return run(folder, ModelCard.from_mapping({**CARD, "kind": "tool", **changes}))


LABELS = "r = ProcessingResult(self.name(), {'volume': 7}); r.arrays['labels'] = np.where(img.as_numpy() > 57, 3, 0); "


def test_a_tool_of_the_published_interface_runs_as_it_is(tmp_path: Path) -> None:
    answer = tool(tmp_path, LABELS + "return r")
    assert answer.labels is not None and np.array_equal(answer.labels, np.where(VOLUME > 57, 3, 0))
    assert answer.measurements is not None and answer.measurements.tolist() == [[7]]


def test_a_tool_of_its_later_form_takes_a_list_and_may_answer_with_a_nifti_file(tmp_path: Path) -> None:
    body = (
        "from plexus_runner import nifti\n"
        "        seen = nifti.read(__import__('pathlib').Path(images[0].nii_path))\n"
        "        assert np.array_equal(seen, images[0].as_numpy())\n"
        "        path = images[0].base_dcm_dir + '/out.nii.gz'\n"
        "        found = np.where(seen > 57, 3, 0).astype(np.int16)\n"
        "        nifti.write(__import__('pathlib').Path(path), found, [2.0, 1.0, 1.0], np.eye(3))\n"
        "        return SegmentationResult(self.name(), path)"
    )
    answer = tool(tmp_path, body, parameter="images")
    assert answer.labels is not None and np.array_equal(answer.labels, np.where(VOLUME > 57, 3, 0))
    assert answer.measurements is not None and np.isnan(answer.measurements).all()


@pytest.mark.parametrize(
    ("body", "words", "changes"),
    [
        ("raise ValueError('no kidney in sight')", "ValueError: no kidney in sight", {}),
        ("return None", "returned no ProcessingResult", {}),
        ("while True: pass", "stopped after 1.5 s", {"timeout_seconds": 1.5}),
        ("os.kill(os.getpid(), 11)", "ended by SIGSEGV", {}),
        ("x = np.ones(1 << 29); return x", "needs more memory than the 256 MiB", {"code": {"memory_mb": 256}}),
        (
            "[os.fork() for _ in range(3)]; x = np.ones(5 << 20); time.sleep(60)",
            "needs more memory than the 64 MiB",
            {"code": {"memory_mb": 64}},
        ),
        ("socket.create_connection(('127.0.0.1', 9))", "PermissionError", {}),
        ("socket.socket(socket.AF_UNIX)", "PermissionError", {}),
        (
            "import subprocess; sys.exit(subprocess.run([sys.executable, '-c', 'import socket; socket.socket()'],"
            " capture_output=True).stderr.decode())",
            "PermissionError",
            {},
        ),
        (
            "import subprocess; sys.exit(subprocess.run([sys.executable, '-c', 'import os; os.setsid()'],"
            " capture_output=True).stderr.decode())",
            "PermissionError",
            {},
        ),
        ("r = ProcessingResult('x'); r.arrays['labels'] = img.as_numpy() + 0.5; return r", "not whole numbers", {}),
    ],
)
def test_whatever_code_does_fails_its_own_request_with_a_reason(
    tmp_path: Path, body: str, words: str, changes: Mapping[str, Any]
) -> None:
    with pytest.raises(Refused, match=words):
        tool(tmp_path, body, **changes)


def test_a_tool_that_says_no_is_asked_nothing_more(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"cannot process this image \(a toy\)"):
        tool(tmp_path, "return 1", can=False)


def test_code_that_nobody_waits_for_is_stopped(tmp_path: Path) -> None:
    """It would run for a minute, and say something else when that is over."""
    (tmp_path / "tool.py").write_text(
        TOOL.replace("PARAMETER", "img").replace("CAN", "True").replace("BODY", "time.sleep(60)")
    )
    described = json.loads(json.dumps(described_card(ModelCard.from_mapping({**CARD, "kind": "tool"}))))
    with pytest.raises(Refused, match="nobody waits"):
        runner_of(tmp_path, described).run(asked(stopped=lambda: True))


def test_what_lies_in_a_file_is_neither_copied_nor_sent_back_but_put_into_its_place(tmp_path: Path) -> None:
    card = ModelCard.from_mapping({**CARD, "kind": "tool"})
    text = TOOL.replace("PARAMETER", "img").replace("CAN", "True").replace("BODY", LABELS + "return r")
    (tmp_path / "tool.py").write_text(text)
    VOLUME.tofile(tmp_path / "volume")
    place = tmp_path / "labels"
    place.write_bytes(bytes(VOLUME.size + 7))  # a region may be larger than what it is for
    seen = view(str(tmp_path / "volume"), "int16", VOLUME.shape)
    assert not seen.flags.writeable
    question = Question(
        Input(seen, np.array([2.0, 1.0, 1.0]), np.eye(3), file=str(tmp_path / "volume")),
        places=Places({"labels": str(place)}),
    )
    arrays = runner_of(tmp_path, json.loads(json.dumps(described_card(card)))).run(question)
    rest, told = question.places.put(arrays)
    assert told == {"labels": {"type": "uint8", "shape": [3, 4, 5]}} and set(rest) == {"measurements"}
    there = np.frombuffer(place.read_bytes(), np.uint8, VOLUME.size).reshape(VOLUME.shape)
    assert np.array_equal(there, np.where(VOLUME > 57, 3, 0))


def test_an_output_that_is_too_large_for_its_place_is_told_and_not_put(tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(bytes(8))
    places = Places({"labels": str(tmp_path / "labels")})
    rest, told = places.put({"labels": np.ones(9, np.uint8), "classes": np.ones(2)})
    assert told == {"labels": {"type": "uint8", "shape": [9]}} and set(rest) == {"classes"}
    assert (tmp_path / "labels").read_bytes() == bytes(8)


def test_no_place_leads_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"12345678")
    (tmp_path / "link").symlink_to(tmp_path / "other")
    for opened in (lambda path: view(path, "uint8", (8,)), lambda path: Places({"labels": path})):
        with pytest.raises(OSError, match="symbolic"):
            opened(str(tmp_path / "link"))


MODEL = """
import numpy as np, socket, helper
import triton_python_backend_utils as triton

class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        volume = triton.get_input_tensor_by_name(request, "volume").as_numpy()
        if volume[0, 0, 0] == 7:
            socket.socket()
        labels = np.where(volume > helper.LIMIT, 3, 0).astype(np.uint8)
        return triton.InferenceResponse(
            [triton.Tensor("labels", labels), triton.Tensor("measurements", np.array([[1.0]], np.float32))]
        )
"""


def test_a_triton_model_in_python_runs_confined_without_a_configuration(tmp_path: Path) -> None:
    code = tmp_path / "triton" / "1"
    code.mkdir(parents=True)
    (code / "model.py").write_text(MODEL)
    (code / "helper.py").write_text("LIMIT = 57")
    card = ModelCard.from_mapping({**CARD, "kind": "triton"})
    answer = run(tmp_path, card)
    assert answer.labels is not None and np.array_equal(answer.labels, np.where(VOLUME > 57, 3, 0))
    with pytest.raises(Refused, match="PermissionError"):
        run(tmp_path, card, VOLUME + 7)


def test_code_sees_no_secret_of_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLEXUS_SECRET", "hidden")
    with pytest.raises(Refused, match=r"RuntimeError: \['HOME', 'LC_ALL', 'PATH'"):
        tool(tmp_path, "raise RuntimeError(sorted(os.environ))")


def test_a_network_with_an_environment_of_its_own_runs_confined_with_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its environment is Triton's here: that has ONNX Runtime."""
    (environment,) = (triton.FOLDER / "lib").glob("python*/site-packages")
    monkeypatch.setenv("PATH", f"{triton.FOLDER / 'bin'}:/usr/bin:/bin")
    (tmp_path / "network.onnx").write_bytes(above(57))
    card = ModelCard.from_mapping({**CARD, "kind": "onnx", "measurements": [], "processing": {}})
    described = json.loads(json.dumps(described_card(card, str(environment))))
    assert described["code"]["main"] == "network.onnx"
    answer = runner_of(tmp_path, described).run(asked())
    assert np.array_equal(answer["labels"], np.where(VOLUME > 57, 3, 0))
    with pytest.raises(Refused, match=r"environment of its requirements\.lock is not here"):
        runner_of(tmp_path, {**described, "environment": "gone"})


APPLICATION = """
from medical.cloud.tasks import InferTask, InferType
from medical.cloud.app import Application

class Task(InferTask):
    type = InferType.SEGMENTATION
    def run(self, request):
        assert request["image"].endswith("image.nii")
        return {"pred": (request["array"] > 57) * 3, "result": {"Bright": {"volume": 2}}}

class Mine(Application):
    def __init__(self, app_dir, studies):
        super().__init__(app_dir=app_dir, studies=studies)
        self.task = Task()
"""


def test_an_application_runs_with_the_module_names_of_its_own_framework(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text(APPLICATION)
    code = {"modules": ["medical.cloud.tasks", "medical.cloud.app"]}
    answer = run(tmp_path, ModelCard.from_mapping({**CARD, "kind": "application", "code": code}))
    assert answer.labels is not None and np.array_equal(answer.labels, (VOLUME > 57) * 3)
    assert answer.measurements is not None and answer.measurements.tolist() == [[2]]


def test_an_application_without_run_or_with_two_classes_is_refused_in_words(tmp_path: Path) -> None:
    card = ModelCard.from_mapping({**CARD, "kind": "application"})
    head = "from application import *\nclass A(Application):\n  def init_infers(self): return [InferTask()]\n"
    (tmp_path / "main.py").write_text(head)
    with pytest.raises(Refused, match=r"needs a run\(\)"):
        run(tmp_path, card)
    (tmp_path / "main.py").write_text(head + "class B(Application): pass\n")
    with pytest.raises(Refused, match="2 classes that inherit Application"):
        run(tmp_path, card)


@pytest.mark.parametrize(
    "code", [{"main": "../x.py"}, {"main": "x.sh"}, {"memory": 3}, {"memory_mb": 1}, {"modules": "os; x"}]
)
def test_a_code_block_that_cannot_be_is_refused(code: Mapping[str, Any]) -> None:
    with pytest.raises(CardError, match="code"):
        code_of(ModelCard.from_mapping({**CARD, "kind": "tool", "code": code}))


def reference(name: str) -> ModelCard:
    return ModelCard.from_mapping(yaml.safe_load((MODELS / name / "model.yaml").read_text()))


def cylinder() -> NDArray[np.int16]:
    """20 cm of a fat cylinder of 30 cm around a muscle core of 20 cm, in air, on a grid of 2 mm by 2 mm by 5 mm."""
    row, column = np.ogrid[-100:100, -100:100]
    away = np.hypot(row, column) * 2
    plane = np.where(away < 100, 50, np.where(away < 150, -100, -1000)).astype(np.int16)
    return np.broadcast_to(plane, (40, 200, 200)).copy()


def test_the_tool_and_the_application_of_the_repository_measure_a_phantom() -> None:
    volume = cylinder()
    for name, litres, attenuation in (("ct-body", np.pi * 1.5**2 * 2, -33), ("ct-fat", np.pi * 1.25 * 2, -100)):
        card = reference(name)
        runner = runner_of(MODELS / name, json.loads(json.dumps(described_card(card))))
        answer = Prediction(**runner.run(asked(volume, (5.0, 2.0, 2.0))))
        check(answer, card, volume.shape)
        assert answer.measurements is not None
        assert answer.measurements[0, 0] / 1000 == pytest.approx(litres, rel=0.05)
        assert answer.measurements[0, 1] == pytest.approx(attenuation, abs=6)


def test_the_radiograph_model_finds_the_shadow_and_nothing_in_an_empty_image() -> None:
    card = reference("xr-body")
    runner = runner_of(MODELS / "xr-body", json.loads(json.dumps(described_card(card))))
    image = np.full((1, 200, 300), 0.05, np.float32)
    image[0, 40:160, 60:220] = 0.7
    for volume, area in ((image, 120 * 160 * 0.01), (np.full_like(image, 0.5), 0)):
        answer = Prediction(**runner.run(asked(volume, (np.nan, 0.1, 0.1))))
        check(answer, card, volume.shape)
        assert answer.measurements is not None
        assert answer.measurements[0, 0] == pytest.approx(area, rel=0.06)
