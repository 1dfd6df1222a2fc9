"""The Triton side of every package that brings none of its own: tensors in, tensors out.

What is done lies in `plexus_runner`; the package lies beside, in `package`, with its card as JSON. Large tensors need
not come: whoever asks on the same machine names regions of shared memory instead, in the parameter `places`, and is
told by the output `places` what was put there (docs/adr/0029).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton  # exists only inside the backend's process
from plexus_runner.memory import give_back
from plexus_runner.places import Places, view

PACKAGE = Path(__file__).resolve().parents[1] / "package"
PLACES = "places"
_REGIONS = Path("/dev/shm")  # noqa: S108 - where Linux keeps POSIX shared memory
_REGION = re.compile(r"plexus-inference-[0-9a-f]{32}")


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

        named = json.loads(request.parameters() or "{}").get(PLACES)
        try:
            question = self._question(request, json.loads(named or "{}"))
            if self._runner is None:
                self._runner = runner_of(PACKAGE, self._card)
            arrays, told = question.places.put(self._runner.run(question))
        except Refused as error:
            return _refused(str(error))
        except Exception as error:  # noqa: BLE001 - any fault fails this request, with a sentence and no stack trace
            return _refused(f"{type(error).__name__}: {error}")
        wanted = [name for name in request.requested_output_names() if name != PLACES]
        missing = [
            name for name in {**dict.fromkeys(wanted), **question.places.paths} if name not in {**arrays, **told}
        ]
        if missing:
            return _refused(f"it gave no {' and no '.join(missing)}")
        tensors = [triton.Tensor(name, arrays[name]) for name in wanted if name in arrays]
        if named:
            tensors.append(triton.Tensor(PLACES, np.array([json.dumps(told).encode()], np.object_)))
        return triton.InferenceResponse(output_tensors=tensors)

    def _question(self, request: Any, named: Mapping[str, Any]) -> Any:
        """What is asked: tensors that came, and those that lie in shared memory."""
        from plexus_runner.question import Question

        files = {name: _path(one) for name, one in named.get("inputs", {}).items()}
        tensors = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        for name, path in files.items():
            one = named["inputs"][name]
            tensors[name] = view(path, one["type"], tuple(one["shape"]))
        more = [one["name"] for one in self._card.get("more_inputs") or ()]
        places = Places({name: _path(one) for name, one in named.get("outputs", {}).items()})
        return Question.of(tensors, more, files=files, places=places, stopped=request.is_cancelled)


def _path(named: Mapping[str, Any]) -> str:
    """The file of a region of those who ask; no other file may be named."""
    region = str(named["region"])
    if not _REGION.fullmatch(region):
        raise ValueError("a place is not a region of the inference service")
    return str(_REGIONS / region)


def _refused(reason: str) -> Any:
    return triton.InferenceResponse(output_tensors=[], error=triton.TritonError(reason))
