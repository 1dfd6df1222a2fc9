"""Networks for backends of Triton's own: what is laid, and for which packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.catalogue import networks
from services.catalogue.errors import PackageRefusedError
from services.contracts.card import ModelCard
from tests.unit.inference.fakes import CARD


def card(kind: str = "torchscript", **changes: object) -> ModelCard:
    return ModelCard.from_mapping({**CARD, "kind": kind, "measurements": [], "processing": {}, **changes})


def test_only_networks_and_only_for_backends_that_the_site_has() -> None:
    assert networks.runs(card(), {"pytorch"}) and networks.runs(card("onnx"), {"onnxruntime"})
    assert not networks.runs(card(), {"onnxruntime"}) and not networks.runs(card("onnx"), set())
    assert not networks.runs(ModelCard.from_mapping({**CARD, "kind": "tool"}), networks.BACKENDS)


def test_a_table_of_boxes_of_a_torchscript_stays_with_our_runner() -> None:
    columns = ["y0", "x0", "y1", "x1", "score", "class"]
    boxes = {"dimensions": 2, "boxes": {"from": "rows", "columns": columns}}
    detection = {"task": "detection", "outputs": ["boxes"], "processing": boxes}
    assert not networks.runs(card(**detection), {"pytorch"})
    assert networks.runs(card("onnx", **detection), {"onnxruntime"})


@pytest.mark.parametrize(
    ("changes", "given", "answered"),
    [
        ({}, "-1, 1, -1, -1, -1", "-1, -1, -1, -1, -1"),
        ({"processing": {"dimensions": 2, "channels": 3}}, "-1, 3, -1, -1", "-1, -1, -1, -1"),
        (
            {
                "task": "classification",
                "outputs": ["classes"],
                "labels": [],
                "classes": [{"name": "seen", "type": {"code": "C", "scheme": "99T", "meaning": "Seen"}}],
            },
            "-1, 1, -1, -1, -1",
            "-1, -1",
        ),
    ],
)
def test_tensors_of_a_torchscript_follow_from_the_card(
    tmp_path: Path, changes: dict[str, object], given: str, answered: str
) -> None:
    (tmp_path / "network.pt").write_bytes(b"weights")
    place = tmp_path / "repository" / "toy-1.0.0.network"
    networks.lay(card(**changes), tmp_path, place)
    config = (place / "config.pbtxt").read_text()
    assert config.startswith('name: "toy-1.0.0.network"\nbackend: "pytorch"\n')
    assert f'"INPUT__0" data_type: TYPE_FP32 dims: [ {given} ]' in config
    assert f'"OUTPUT__0" data_type: TYPE_FP32 dims: [ {answered} ]' in config
    assert (place / "1" / "model.pt").read_bytes() == b"weights"


def test_a_package_without_its_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackageRefusedError, match="lacks the file"):
        networks.lay(card("onnx"), tmp_path, tmp_path / "repository" / "toy")
