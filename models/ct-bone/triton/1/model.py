"""The Triton side of ct-bone: tensors in, tensors out. What it computes is in `bone.py`."""

from __future__ import annotations

from typing import Any

import bone
import numpy as np
import triton_python_backend_utils as triton  # exists only inside the backend's process


class TritonPythonModel:
    """Answers one volume a request; see models/README.md for the tensors."""

    def execute(self, requests: list[Any]) -> list[Any]:
        """Segments and measures each request's volume; whatever goes wrong fails that request alone."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        try:
            volume, spacing, direction = (
                triton.get_input_tensor_by_name(request, name).as_numpy() for name in ("volume", "spacing", "direction")
            )
            labels = bone.segment(volume, spacing, direction)
            measurements = bone.measure(volume, labels, spacing)
        except Exception as error:  # noqa: BLE001 - any fault fails this request, with a sentence and no stack trace
            reason = triton.TritonError(f"ct-bone: {type(error).__name__}: {error}")
            return triton.InferenceResponse(output_tensors=[], error=reason)
        tensors = [triton.Tensor("labels", labels), triton.Tensor("measurements", measurements.astype(np.float32))]
        return triton.InferenceResponse(output_tensors=tensors)
