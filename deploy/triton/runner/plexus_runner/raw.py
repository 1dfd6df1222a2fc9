"""A Triton model of the package's own, run where its code is confined: one request, without Triton around it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from numpy.typing import NDArray

from plexus_runner.question import MAIN, Question
from plexus_runner.refusals import Refused


def answer(module: ModuleType, card: dict[str, Any], question: Question) -> dict[str, NDArray[Any]]:
    """What the model's `execute` says of the input, and of those beside it."""
    backend = sys.modules.get("triton_python_backend_utils")
    if backend is None or not hasattr(module, "TritonPythonModel"):
        raise Refused(f"{card['code']['main']} has no TritonPythonModel")
    main = question.main
    given: dict[str, NDArray[Any]] = {MAIN: main.array, "spacing": main.spacing, "direction": main.direction}
    for name, one in question.more.items():
        given |= {
            name: one.array,
            f"{name}_spacing": one.spacing,
            f"{name}_direction": one.direction,
            f"{name}_offset": one.offset,
        }
    inputs = [backend.Tensor(name, array) for name, array in given.items()]
    model = module.TritonPythonModel()
    if hasattr(model, "initialize"):
        model.initialize(_arguments(card, list(given), Path(module.__file__ or ".")))
    responses = model.execute([backend.InferenceRequest(inputs, card["owed"])])
    if responses is None or len(responses) != 1:
        raise Refused("its execute() did not give one response to one request")
    if responses[0].has_error():
        raise Refused(responses[0].error().message())
    return {tensor.name(): tensor.as_numpy() for tensor in responses[0].output_tensors()}


def _arguments(card: dict[str, Any], names: Sequence[str], main: Path) -> dict[str, str]:
    """What Triton tells a model when it begins."""
    outputs = [{"name": name} for name in card["owed"]]
    inputs = [{"name": name} for name in names]
    return {
        "model_name": card["name"],
        "model_version": "1",
        "model_config": json.dumps({"name": card["name"], "input": inputs, "output": outputs}),
        "model_repository": str(main.parents[1]),
        "model_instance_kind": "CPU",
        "model_instance_name": card["name"],
        "model_instance_device_id": "0",
    }
