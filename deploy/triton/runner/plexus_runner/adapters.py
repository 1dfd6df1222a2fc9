"""How the two published interfaces are called, and what their answers become: the arrays that the card promises."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plexus_runner import nifti, raw
from plexus_runner.question import Input, Question
from plexus_runner.refusals import Refused

Arrays = dict[str, NDArray[Any]]
_OUTPUTS = (
    "labels", "probabilities", "measurements", "map", "boxes", "box_labels", "box_scores", "classes", "image"
)  # fmt: skip
_STAND_INS = ("image", "image_processing_tool", "processing_result", "application")


def stand_in(names: list[str]) -> None:
    """Puts modules of these names in the way of imports; each has all that our stand-ins have."""
    for name in names:
        made = ModuleType(name)
        for stand_in_name in _STAND_INS:
            source = __import__(stand_in_name)
            made.__dict__.update({key: value for key, value in vars(source).items() if not key.startswith("_")})
        parts = name.split(".")
        for depth in range(1, len(parts)):
            parent = ".".join(parts[:depth])
            sys.modules.setdefault(parent, ModuleType(parent)).__path__ = []
        sys.modules[name] = made


def answer(module: ModuleType, card: dict[str, Any], question: Question, folder: Path) -> Arrays:
    """What the package's class says of the input, and of those beside it."""
    if card["kind"] == "triton":
        return _arrays(raw.answer(module, card, question), card)
    image = _image("image", card.get("input") or {}, question.main, folder)
    for wanted in card.get("more_inputs") or ():
        if wanted["name"] in question.more:
            # What the card does not say of a further input is as it is of the first one.
            told = {**(card.get("input") or {}), **wanted}
            image.more[wanted["name"]] = _image(wanted["name"], told, question.more[wanted["name"]], folder)
    if card["kind"] == "tool":
        found = _tool(_class(module, card, "ImageProcessingTool", "image_processing_tool"), image)
    else:
        found = _application(module, card, image, folder)
    return _arrays(found, card)


def _image(name: str, told: dict[str, Any], one: Input, folder: Path) -> Any:
    """An input as a tool sees it; `told`: what the card says of it."""
    from image import Image

    metadata = {
        "spacing": list(one.spacing),
        "direction": one.direction.tolist(),
        "units": told.get("units", "stored"),
        "Modality": told.get("modality", ""),
        "offset": one.offset.tolist(),
    }

    def write(path: Path) -> None:
        grey = one.array if one.array.ndim == 3 else one.array.mean(axis=-1).astype(np.float32)
        nifti.write(path, grey, list(one.spacing), one.direction)

    image = Image(str(folder / f"{name}.nii"), str(folder), metadata)
    image.array, image.write = one.array, write
    return image


def _class(module: ModuleType, card: dict[str, Any], base_name: str, stand_in_name: str) -> Any:
    """The class of the package that is to be made."""
    name = card["code"]["class_name"]
    if name:
        found = getattr(module, name, None)
        if not inspect.isclass(found):
            raise Refused(f"the package has no class {name} in its {card['code']['main']}")
        return found
    base = getattr(__import__(stand_in_name), base_name)
    own = [one for one in vars(module).values() if inspect.isclass(one) and issubclass(one, base) and one is not base]
    # A class that others in the file inherit from is theirs to be made of.
    last = [one for one in own if not any(other is not one and issubclass(other, one) for other in own)]
    if len(last) != 1:
        raise Refused(
            f"{card['code']['main']} has {len(last)} classes that inherit {base_name}, and one is due; "
            "name it with code.class in the card"
        )
    return last[0]


def _tool(made: Any, image: Any) -> Any:
    tool = made()
    if not tool.can_process_image(image):
        raise Refused(f"the tool says that it cannot process this image ({tool.description()})")
    # The published interface changed: from one image to a list of them.
    parameters = list(inspect.signature(tool.process).parameters.values())
    wants_list = bool(parameters) and (parameters[0].name == "images" or "ist" in str(parameters[0].annotation))
    result = tool.process([image, *image.more.values()] if wants_list else image)
    if not hasattr(result, "metadata") or not hasattr(result, "tool_name"):
        raise Refused("the tool's process() returned no ProcessingResult")
    return result


def _application(module: ModuleType, card: dict[str, Any], image: Any, folder: Path) -> Any:
    made = _class(module, card, "Application", "application")
    known = {"app_dir": str(Path(module.__file__ or ".").parent), "studies": str(folder), "conf": {}}
    wanted = inspect.signature(made).parameters
    application = made(**{name: value for name, value in known.items() if name in wanted})
    tasks = application.tasks()
    if len(tasks) != 1:
        raise Refused(f"the application has {len(tasks)} inference tasks, and one is due")
    request = _request(image) | {"more": {name: _request(one) for name, one in image.more.items()}}
    return tasks[0].run(request)


def _request(image: Any) -> dict[str, Any]:
    return {"image": image.nii_path, "array": image.array, "metadata": image.metadata}


def _arrays(found: Any, card: dict[str, Any]) -> Arrays:
    """The promised arrays in whatever was returned: a result object, a mapping, a pair of label map and numbers."""
    owed, numbers, said = card["owed"], {}, dict[str, Any]()
    if isinstance(found, tuple) and len(found) == 2:
        said["labels"], numbers = found[0], dict(found[1] or {})
    elif isinstance(found, dict):
        said = dict(found)
    elif hasattr(found, "tool_name"):
        said, numbers = dict(getattr(found, "arrays", None) or {}), dict(found.metadata or {})
        path = getattr(found, "segmentation_nii_path", None)
        if path is not None:
            said["labels"] = path
    else:
        said["labels"] = found
    said = {key if key in _OUTPUTS else {"pred": "labels", "label": "labels"}.get(key, key): said[key] for key in said}
    numbers = {**numbers, **(said.pop("result", None) or {}), **(said.pop("metadata", None) or {})}
    if "measurements" in owed and "measurements" not in said:
        said["measurements"] = _by_name(numbers, card)
    if "classes" in owed and "classes" not in said:
        said["classes"] = [float(numbers[one["name"]]) for one in card["classes"] if one["name"] in numbers]
    return {name: _typed(name, said[name], card) for name in owed if said.get(name) is not None}


def _by_name(numbers: dict[str, Any], card: dict[str, Any]) -> NDArray[np.float32]:
    """Measurements by their names, or, where the card has labels, by label and name; NaN where none was made."""
    rows = [str(label["name"]) for label in card.get("labels") or []] or [""]
    table = np.full((len(rows), len(card["measurements"])), np.nan, np.float32)
    for row, label in enumerate(rows):
        own = numbers.get(label) if isinstance(numbers.get(label), dict) else numbers if len(rows) == 1 else {}
        for column, one in enumerate(card["measurements"]):
            value = own.get(one["name"]) if isinstance(own, dict) else None
            if value is not None:
                table[row, column] = float(value)
    return table


def _typed(name: str, value: Any, card: dict[str, Any]) -> NDArray[Any]:
    """An array of the type that is due, where no value changes by that."""
    array = nifti.read(Path(value)) if isinstance(value, (str, Path)) else np.asarray(value)
    due = {
        "labels": np.uint16
        if max((int(one["value"]) for one in card.get("labels") or []), default=0) > 255
        else np.uint8,
        "probabilities": np.uint8,
        "box_labels": np.uint16,
        "image": array.dtype,
    }.get(name, np.float32)
    if name == "probabilities" and array.dtype.kind == "f":
        array = np.rint(255 * np.clip(array, 0, 1))
    made = array.astype(due, copy=False)
    if made is not array and np.dtype(due).kind == "u" and not np.array_equal(made, array):
        raise Refused(f"{name} are not whole numbers from 0 to {np.iinfo(due).max}")
    return np.ascontiguousarray(made)
