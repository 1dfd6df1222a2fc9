"""A MONAI bundle as its authors ship it becomes a package: `plexus model import BUNDLE PACKAGE`.

Read are `configs/metadata.json` (what goes in and out) and `configs/inference.json` (the transforms around the
network). A transform that is not known is refused by its name: leaving one out would change what the network sees.
Expressions of Python in the configuration are not evaluated.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from services.contracts.card import ModelCard
from services.contracts.processing import processing_of

Block = dict[str, Any]

_WITHOUT_EFFECT = {
    "LoadImaged", "EnsureChannelFirstd", "AddChanneld", "AsChannelFirstd", "EnsureTyped", "ToTensord", "CastToTyped",
    "SaveImaged", "Invertd", "DeleteItemsd", "CopyItemsd", "ToDeviced",
}  # fmt: skip
"""Reading, writing, types, and the way back to the source grid, which Plexus does itself."""
_NETWORKS = (("models/model.onnx", "onnx", "network.onnx"), ("models/model.ts", "torchscript", "network.pt"))
_UNITS = {"CT": "HU"}


class BundleRefused(ValueError):
    """The bundle cannot become a package; the text says why."""


def import_bundle(bundle: Path, package: Path) -> ModelCard:
    """Makes the package, and returns its card.

    Raises:
        BundleRefused: a file is missing, or a transform or an expression is not known.
    """
    found = next((one for one in _NETWORKS if (bundle / one[0]).is_file()), None)
    if found is None:
        raise BundleRefused("the bundle has neither models/model.onnx nor models/model.ts; export one of them first")
    source, kind, network = found
    metadata, inference = _read(bundle / "configs/metadata.json"), _read(bundle / "configs/inference.json")
    card = _card(metadata, kind)
    card["processing"] = {"network": network, **_processing(inference)}
    made = ModelCard.from_mapping(card)
    processing_of(made)
    package.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(bundle / source, package / network)
    (package / "model.yaml").write_text(yaml.safe_dump(card, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return made


def _read(path: Path) -> Block:
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise BundleRefused(f"the bundle's {path.parent.name}/{path.name} is not there, or no JSON") from None
    if not isinstance(read, dict):
        raise BundleRefused(f"the bundle's {path.name} is not an object")
    return read


def _card(metadata: Block, kind: str) -> Block:
    """All of the card but the processing."""
    try:
        form = metadata["network_data_format"]
        (image,) = form["inputs"].values()
        (pred,) = form["outputs"].values()
        channels = {int(number): str(name) for number, name in pred["channel_def"].items()}
    except (KeyError, ValueError, AttributeError):
        raise BundleRefused(
            "the bundle's network_data_format has not one input and one output with a channel_def"
        ) from None
    if image.get("num_channels", 1) != 1:
        raise BundleRefused(f"the network wants {image['num_channels']} input channels, so several series; one is run")
    name = re.sub(r"[^a-z0-9]+", "-", str(metadata.get("name", "monai-bundle")).lower()).strip("-")
    modality = str(image.get("modality", "")).upper()
    labels = [
        {
            "value": number or 1,
            "name": label,
            "category": {"code": "91723000", "scheme": "SCT", "meaning": "Anatomical Structure"},
            # No bundle says codes: a private one, to be replaced by the author (docs/models.md).
            "type": {"code": re.sub(r"\W+", "_", label.upper())[:16], "scheme": "99BUNDLE", "meaning": label[:64]},
            "colour": [(97 * number + 60) % 256, (151 * number + 90) % 256, (211 * number + 30) % 256],
        }
        for number, label in sorted(channels.items())
        if label.lower() != "background"
    ]
    if len(labels) == len(channels):  # no background: labels are channels, from 1
        labels = [{**label, "value": number} for number, label in enumerate(labels, start=1)]
    return {
        "name": name,
        "version": str(metadata.get("version", "0")),
        "title": str(metadata.get("name", name)),
        "author": str(metadata.get("authors", "unknown")),
        "licence": str(metadata.get("copyright", "see the bundle")),
        "kind": kind,
        "intended_use": str(metadata.get("intended_use", "Research. Not for clinical use.")),
        "description": str(metadata.get("description", "")),
        "task": "volume-segmentation",
        "selection": f'series.Modality == "{modality}"' if modality in ("CT", "MR", "PT") else "false",
        "input": {"kind": "volume", "units": _UNITS.get(modality, "stored")},
        "outputs": ["labels"],
        "labels": labels,
        "timeout_seconds": 600,
    }


def _processing(inference: Block) -> Block:
    block: Block = {"axes": "", "intensity": [], "activation": "none"}
    for name, given in _transforms(inference, "preprocessing"):
        _before(name, given, block)
    for name, given in _transforms(inference, "postprocessing"):
        _after(name, given, block)
    inferer = _resolved(inference, inference.get("inferer", {}))
    match inferer.get("_target_", "SimpleInferer"):
        case "SlidingWindowInferer":
            size = _numbers(inference, inferer.get("roi_size"), "roi_size")
            overlap = _resolved(inference, inferer.get("overlap", 0.25))
            blend = _resolved(inference, inferer.get("mode", "constant"))
            block["window"] = {"size": [int(one) for one in size], "overlap": overlap, "blend": blend}
        case "SimpleInferer":
            pass
        case other:
            raise BundleRefused(f"the inferer {other} is not known; known are SlidingWindowInferer and SimpleInferer")
    if not block["axes"]:
        raise BundleRefused("the bundle has no Orientationd: nothing says to which sides its volumes run")
    if block["activation"] == "none":
        raise BundleRefused("the bundle's postprocessing makes no labels: AsDiscreted is not there")
    return {key: value for key, value in block.items() if value not in ("", [])}


def _before(name: str, given: Block, block: Block) -> None:
    match name:
        case "Orientationd":
            block["axes"] = str(given.get("axcodes", ""))
        case "Spacingd":
            block["spacing"] = list(given["pixdim"])
        case "ScaleIntensityRanged":
            if not given.get("clip", False):
                raise BundleRefused("ScaleIntensityRanged without clip is not known")
            low, high = given["a_min"], given["a_max"]
            step = {"low": low, "high": high, "to_low": given.get("b_min", 0.0), "to_high": given.get("b_max", 1.0)}
            block["intensity"].append({"scale": step})
        case "ScaleIntensityd":
            block["intensity"].append({"minmax": {"to_low": given.get("minv", 0.0), "to_high": given.get("maxv", 1.0)}})
        case "ScaleIntensityRangePercentilesd":
            step = {"low": given["lower"], "high": given["upper"], "to_low": given["b_min"], "to_high": given["b_max"]}
            block["intensity"].append({"percentiles": step})
        case "NormalizeIntensityd" if "subtrahend" in given:
            step = {"mean": given["subtrahend"], "std": given.get("divisor", 1.0)}
            block["intensity"].append({"normalise": step})
        case "NormalizeIntensityd":
            block["intensity"].append({"zscore": {"over": "nonzero" if given.get("nonzero") else "all"}})
        case "Resized":
            block["size"] = [int(one) for one in given["spatial_size"]]
        case _ if name not in _WITHOUT_EFFECT:
            raise BundleRefused(f"the transform {name} (preprocessing) is not known")


def _after(name: str, given: Block, block: Block) -> None:
    match name:
        case "Activationsd" if given.get("softmax"):
            block["activation"] = "softmax"
        case "Activationsd" if given.get("sigmoid"):
            block["activation"] = "sigmoid"
        case "AsDiscreted" if given.get("argmax"):
            block["activation"] = "argmax"
        case "AsDiscreted" if "threshold" in given:
            block["threshold"] = given["threshold"]
            if block["activation"] == "none":
                block["activation"] = "threshold"
        case "KeepLargestConnectedComponentd":
            applied = given.get("applied_labels")
            block["largest_component"] = True if applied is None else [applied] if isinstance(applied, int) else applied
        case _ if name not in _WITHOUT_EFFECT:
            raise BundleRefused(f"the transform {name} (postprocessing) is not known")


def _transforms(inference: Block, key: str) -> list[tuple[str, Block]]:
    """The names of the transforms, with their parameters."""
    listed = _resolved(inference, inference.get(key, {}))
    items = listed.get("transforms", []) if isinstance(listed, Mapping) else listed
    found = []
    for item in items:
        one = _resolved(inference, item)
        if one.get("_disabled_"):
            continue
        given = {name: _resolved(inference, value) for name, value in one.items() if not name.startswith("_")}
        used = {name: value for name, value in given.items() if name not in _UNREAD}
        expression = next((value for value in used.values() if isinstance(value, str) and value.startswith("$")), None)
        name = str(one.get("_target_", "?")).rsplit(".", maxsplit=1)[-1]
        if expression is not None and name not in _WITHOUT_EFFECT:
            raise BundleRefused(f"{name} holds an expression, which is not evaluated: {expression}")
        found.append((name, used))
    return found


_UNREAD = {"keys", "meta_keys", "device", "transform", "orig_keys", "meta_key_postfix", "to_onehot"}


def _resolved(inference: Block, value: Any) -> Any:
    """What a reference like `@pixdim` or `@a#b` names; other values as they are."""
    seen = 0
    while isinstance(value, str) and re.fullmatch(r"@[\w#]+", value) and seen < 10:
        target: Any = inference
        for part in value[1:].split("#"):
            target = target.get(part) if isinstance(target, Mapping) else None
        value, seen = target, seen + 1
    return {} if value is None else value


def _numbers(inference: Block, value: Any, key: str) -> Sequence[float]:
    found = _resolved(inference, value)
    if not isinstance(found, list):
        raise BundleRefused(f"the inferer's {key} is no list of numbers")
    return found
