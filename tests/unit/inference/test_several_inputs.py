"""A job with a prior: each input becomes a tensor of its own, and a package gets them by their names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from services.catalogue.repository import configuration
from services.contracts.card import CardError, ModelCard
from services.contracts.events import JobInferred, JobReleased
from services.contracts.processing import processing_of
from services.contracts.work import manifest_key
from services.inference.adapters.npz import NpzResults
from services.inference.adapters.pydicom import PydicomReader
from services.inference.errors import InputDamaged, NotAVolume
from services.inference.handlers import Limits, infer_job
from tests.unit.inference.fakes import CARD, FakeCards, FakeEvents, FakeModels, FakeWork
from tests.unit.inference.series import COLUMNS, ROWS, make_slice, pixels
from tests.unit.inference.test_code_packages import LABELS, VOLUME, run

from plexus_runner.question import Input  # the path is set by the module above  # isort: skip

FOLDER = "jobs/job1/input"
SPACE = "2.25.77"
EVENT = JobReleased("job1", "toy", "1.0.0", manifest_key("job1"), 8, 1)
"""Of `released()`."""


def with_prior(**changes: Any) -> ModelCard:
    return ModelCard.from_mapping({**CARD, "more_inputs": [{"name": "prior", "from": "earlier-studies", **changes}]})


def released(count: int = 5, prior: int = 3, space: str = SPACE, name: str = "prior", gap: bool = False) -> FakeWork:
    """A work store with a series, and another one from 40 mm further along the patient."""

    def own(ds: Dataset, index: int) -> None:
        ds.FrameOfReferenceUID = SPACE

    def earlier(ds: Dataset, index: int) -> None:
        ds.SeriesInstanceUID, ds.SOPInstanceUID = "2.25.9", f"2.25.900{index}"
        ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
        ds.FrameOfReferenceUID = space
        ds.ImagePositionPatient = [-10, -25, 40 + 5 * (index + (gap and index > 1) * 3)]

    files: dict[str, bytes] = {}
    lines: dict[str, list[dict[str, Any]]] = {"": [], name: []}
    for place, change, many, uid in (("", own, count, "1000"), (name, earlier, prior, "900")):
        for index in range(many):
            file, data = f"{len(files):05}.dcm", make_slice(index, change)
            files[f"{FOLDER}/{file}"] = data
            digest = hashlib.sha256(data).hexdigest()
            lines[place].append({"file": file, "sop_instance_uid": f"2.25.{uid}{index}", "sha256": digest})
    manifest = {"schema": 1, "job_id": "job1", "model": "toy", "model_version": "1.0.0", "instances": lines[""]}
    if prior:
        manifest["inputs"] = {name: lines[name]}
    return FakeWork({**files, manifest_key("job1"): json.dumps(manifest).encode()})


async def infer(work: FakeWork, card: ModelCard, *, most: int = 1 << 30) -> tuple[FakeModels, FakeEvents]:
    models, events = FakeModels(), FakeEvents()
    count = sum(key.endswith(".dcm") for key in work.files)
    await infer_job(
        JobReleased("job1", "toy", "1.0.0", manifest_key("job1"), count, 1),
        cards=FakeCards(card),
        work=work,
        reader=PydicomReader(),
        models=models,
        results=NpzResults(),
        events=events,
        limits=Limits(2, most),
    )
    return models, events


@pytest.mark.parametrize(("space", "offset"), [(SPACE, [0, -5, 40]), ("2.25.78", [np.nan] * 3)])
async def test_a_prior_is_assembled_beside_its_series_and_its_place_is_told(space: str, offset: list[float]) -> None:
    models, events = await infer(released(space=space), with_prior())
    (room,) = models.rooms
    assert np.array_equal(room.volume, np.stack([pixels(index) - 1024 for index in range(5)]))
    assert np.array_equal(room.more["prior"], np.stack([pixels(index) - 1024 for index in range(3)]))
    assert room.beside["prior"].spacing == (5, 0.8, 0.7)
    assert events.of(JobInferred)
    assert np.array_equal(room.geometry.offset_of(room.beside["prior"]), offset, equal_nan=True)


async def test_an_input_that_the_model_can_do_without_may_be_missing_and_another_one_not() -> None:
    models, _ = await infer(released(prior=0), with_prior(required=False))
    assert models.rooms[0].more == {}
    with pytest.raises(InputDamaged, match="the inputs prior"):
        await infer(released(prior=0), with_prior())
    with pytest.raises(InputDamaged, match="the inputs prior"):
        await infer(released(name="other"), with_prior())


async def test_what_is_wrong_with_a_prior_is_told_of_the_prior() -> None:
    with pytest.raises(NotAVolume, match=r"slices are missing in 1 gap \(input prior\)"):
        await infer(released(prior=4, gap=True), with_prior())


async def test_the_limit_of_memory_is_for_all_inputs_together() -> None:
    plane = 2 * ROWS * COLUMNS
    await infer(released(), with_prior(), most=8 * plane)
    with pytest.raises(NotAVolume, match=r"\(input prior\)"):
        await infer(released(), with_prior(), most=8 * plane - 1)


def test_triton_is_told_of_the_tensors_of_a_further_input() -> None:
    card = with_prior(units="stored", required=False)
    text = configuration(card, "toy-1.0.0")
    assert 'name: "prior" data_type: TYPE_FP32 dims: [ -1, -1, -1 ] optional: true' in text
    assert 'name: "prior_offset" data_type: TYPE_FP64 dims: [ 3 ] optional: true' in text
    assert 'name: "prior_offset" data_type: TYPE_FP64 dims: [ 3 ] }' in configuration(with_prior(), "toy-1.0.0")
    assert "prior" not in configuration(ModelCard.from_mapping(CARD), "toy-1.0.0")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"name": "spacing"}, "cannot be called"),
        ({"name": "prior_offset"}, "cannot be called"),
        ({"name": "Prior 1"}, "cannot be called"),
        ({"from": "next door"}, "malformed at the key 'more_inputs'"),
        ({"form": "same-study"}, "keys that are not known: form"),
        ({"required": "yes"}, "malformed at the key 'more_inputs'"),
    ],
)
def test_a_card_whose_further_input_cannot_be_is_refused(changes: Mapping[str, Any], why: str) -> None:
    with pytest.raises(CardError, match=why):
        with_prior(**changes)


def test_a_network_without_code_takes_one_input() -> None:
    with pytest.raises(CardError, match="takes one input"):
        processing_of(ModelCard.from_mapping({**with_prior().source, "kind": "onnx", "processing": {}}))


TOOL = """
import numpy as np
from image_processing_tool import ImageProcessingTool
from processing_result import ProcessingResult

class Toy(ImageProcessingTool):
    def version_id(self): return "1.0.0"
    def description(self): return "a toy"
    def can_process_image(self, img): return True
    def process(self, PARAMETER):
        BODY
"""
MAIN = """
from application import Application, InferTask, InferType

class Task(InferTask):
    type = InferType.SEGMENTATION
    def run(self, request):
        prior = request["more"]["prior"]
        return (request["array"] > 57) * 3, {"volume": float(prior["array"].sum() + prior["metadata"]["offset"][2])}

class Toy(Application):
    def init_infers(self): return [Task()]
"""


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (
            "tool.py",
            TOOL.replace("PARAMETER", "img").replace(
                "BODY",
                LABELS + "p = img.more['prior']; "
                "r.metadata['volume'] = float(p.as_numpy().sum() + p.metadata['offset'][2]); return r",
            ),
        ),
        (
            "tool.py",
            TOOL.replace("PARAMETER", "images").replace(
                "BODY",
                LABELS.replace("img", "images[0]") + "p = images[1]; "
                "r.metadata['volume'] = float(p.as_numpy().sum() + p.metadata['offset'][2]); return r",
            ),
        ),
        ("main.py", MAIN),
    ],
    ids=["tool", "tool of a list", "application"],
)
def test_code_gets_a_further_input_by_its_name(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / file).write_text(text)
    card = ModelCard.from_mapping({**with_prior().source, "kind": "tool" if file == "tool.py" else "application"})
    prior = Input(np.full((2, 3, 4), 2, np.int16), np.array([5.0, 1, 1]), np.eye(3), np.array([0.0, 0, 40]))
    answer = run(tmp_path, card, VOLUME, {"prior": prior})
    assert answer.measurements is not None and answer.measurements.tolist() == [[48 + 40]]
