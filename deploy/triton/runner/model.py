"""The Triton side of every package that brings none of its own: tensors in, tensors out.

What is done lies in `plexus_runner`; the package lies beside, in `package`, with its card as JSON.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import triton_python_backend_utils as triton  # exists only inside the backend's process
from plexus_runner.memory import give_back

PACKAGE = Path(__file__).resolve().parents[1] / "package"


class TritonPythonModel:
    """Answers one input a request."""

    def initialize(self, args: dict[str, Any]) -> None:
        """Reads the card. The weights are read by the first request: a broken package must not stop the server."""
        give_back()
        self._card = json.loads((PACKAGE / "card.json").read_text(encoding="utf-8"))
        self._runner: Any = None

    def execute(self, requests: list[Any]) -> list[Any]:
        """Runs each request; whatever goes wrong fails that request alone."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        # Late: SciPy and the networks' runtimes are large, and most models of a site wait most of the time.
        from plexus_runner.packages import runner_of
        from plexus_runner.refusals import Refused

        try:
            volume, spacing, direction = (
                triton.get_input_tensor_by_name(request, name).as_numpy() for name in ("volume", "spacing", "direction")
            )
            if self._runner is None:
                self._runner = runner_of(PACKAGE, self._card)
            more = {one["name"]: self._beside(request, one["name"]) for one in self._card.get("more_inputs") or ()}
            more = {name: beside for name, beside in more.items() if beside is not None}
            arrays = self._runner.run(volume, spacing, direction, **({"more": more} if more else {}))
        except Refused as error:
            return triton.InferenceResponse(output_tensors=[], error=triton.TritonError(str(error)))
        except Exception as error:  # noqa: BLE001 - any fault fails this request, with a sentence and no stack trace
            reason = f"{type(error).__name__}: {error}"
            return triton.InferenceResponse(output_tensors=[], error=triton.TritonError(reason))
        wanted = request.requested_output_names()
        missing = [name for name in wanted if name not in arrays]
        if missing:
            reason = f"it gave no {' and no '.join(missing)}"
            return triton.InferenceResponse(output_tensors=[], error=triton.TritonError(reason))
        return triton.InferenceResponse(output_tensors=[triton.Tensor(name, arrays[name]) for name in wanted])

    def _beside(self, request: Any, name: str) -> Any:
        """A further input and where it lies; None where the job has none."""
        from plexus_runner.beside import Beside

        names = (name, f"{name}_spacing", f"{name}_direction", f"{name}_offset")
        tensors = [triton.get_input_tensor_by_name(request, one) for one in names]
        return None if tensors[0] is None else Beside(*(one.as_numpy() for one in tensors))
