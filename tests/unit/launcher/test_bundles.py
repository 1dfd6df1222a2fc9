"""A MONAI bundle becomes a package, or is refused by what is not known in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from services.catalogue.repository import lay
from services.contracts.card import ModelCard
from services.contracts.processing import Activation, processing_of
from services.launcher.authoring.bundles import BundleRefused, import_bundle

METADATA = {
    "name": "Spleen CT segmentation",
    "version": "0.5.3",
    "authors": "Somebody",
    "network_data_format": {
        "inputs": {"image": {"modality": "CT", "num_channels": 1, "spatial_shape": [96, 96, 96]}},
        "outputs": {"pred": {"num_channels": 2, "channel_def": {"0": "background", "1": "spleen"}}},
    },
}
PRE: list[dict[str, Any]] = [
    {"_target_": "LoadImaged", "keys": "image"},
    {"_target_": "EnsureChannelFirstd", "keys": "image"},
    {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
    {"_target_": "Spacingd", "keys": "image", "pixdim": "@pixdim", "mode": "bilinear"},
    {
        "_target_": "ScaleIntensityRanged",
        "keys": "image",
        "a_min": -57,
        "a_max": 164,
        "b_min": 0,
        "b_max": 1,
        "clip": True,
    },
    {"_target_": "EnsureTyped", "keys": "image", "device": "@device"},
]
POST: list[dict[str, Any]] = [
    {"_target_": "Activationsd", "keys": "pred", "softmax": True},
    {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing", "orig_keys": "image"},
    {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
    {"_target_": "KeepLargestConnectedComponentd", "keys": "pred", "applied_labels": [1]},
    {"_target_": "SaveImaged", "keys": "pred", "output_dir": "$@bundle_root + '/eval'"},
]


def bundle(folder: Path, *, pre: list[dict[str, Any]] = PRE, inferer: str = "SlidingWindowInferer") -> Path:
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    (folder / "models" / "model.onnx").write_bytes(b"")
    inference = {
        "pixdim": [1.5, 1.5, 2.0],
        "device": "$torch.device('cpu')",
        "preprocessing": {"_target_": "Compose", "transforms": pre},
        "inferer": {"_target_": inferer, "roi_size": [96, 96, 96], "sw_batch_size": 4, "overlap": 0.5},
        "postprocessing": {"_target_": "Compose", "transforms": POST},
    }
    (folder / "configs" / "metadata.json").write_text(json.dumps(METADATA))
    (folder / "configs" / "inference.json").write_text(json.dumps(inference))
    return folder


def test_a_bundle_becomes_a_package_whose_card_says_the_same(tmp_path: Path) -> None:
    import_bundle(bundle(tmp_path / "bundle"), tmp_path / "packages" / "spleen")
    read = yaml.safe_load((tmp_path / "packages" / "spleen" / "model.yaml").read_text())
    card = ModelCard.from_mapping(read)
    block = processing_of(card)
    assert block is not None and (card.name, card.version, card.units) == ("spleen-ct-segmentation", "0.5.3", "HU")
    assert (block.axes, block.spacing, block.channel_labels) == ("RAS", (1.5, 1.5, 2.0), (0, 1))
    assert block.intensity == (("scale", {"low": -57, "high": 164, "to_low": 0, "to_high": 1}),)
    assert block.window is not None and (block.window.size, block.window.overlap) == ((96, 96, 96), 0.5)
    assert block.activation is Activation.ARGMAX and block.largest_component == (1,)
    assert [label.name for label in card.labels] == ["spleen"]
    lay(card, tmp_path / "packages" / "spleen", tmp_path / "repository" / card.served)
    assert (
        'name: "spleen-ct-segmentation-0.5.3"' in (tmp_path / "repository" / card.served / "config.pbtxt").read_text()
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"_target_": "monai.transforms.CropForegroundd"},
            r"the transform CropForegroundd \(preprocessing\) is not known",
        ),
        ({"_target_": "Spacingd", "pixdim": "$[1.5] * 3"}, r"Spacingd holds an expression.*\$\[1.5\] \* 3"),
    ],
)
def test_what_is_not_known_in_a_bundle_is_refused_by_its_name(
    tmp_path: Path, wrong: dict[str, Any], words: str
) -> None:
    with pytest.raises(BundleRefused, match=words):
        import_bundle(bundle(tmp_path / "bundle", pre=[*PRE, wrong]), tmp_path / "package")
    assert not (tmp_path / "package").exists()


def test_a_bundle_that_does_not_turn_its_volumes_is_refused(tmp_path: Path) -> None:
    plain = [one for one in PRE if one["_target_"] != "Orientationd"]
    with pytest.raises(BundleRefused, match="to which sides its volumes run"):
        import_bundle(bundle(tmp_path / "bundle", pre=plain), tmp_path / "package")


def test_another_inferer_and_a_bundle_without_a_network_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match="SaliencyInferer"):
        import_bundle(bundle(tmp_path / "bundle", inferer="SaliencyInferer"), tmp_path / "package")
    (tmp_path / "bundle" / "models" / "model.onnx").unlink()
    with pytest.raises(BundleRefused, match=r"neither models/model\.onnx nor models/model\.ts"):
        import_bundle(tmp_path / "bundle", tmp_path / "package")
