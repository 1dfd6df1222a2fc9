"""The runtimes of networks: ONNX Runtime, PyTorch where it is installed, or a backend of Triton's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from plexus_runner.refusals import Refused


class Network(Protocol):
    """A trained network: one array in, one out, both with the batch first."""

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's first output for `batch`."""


def open_network(kind: str, path: Path) -> Network:
    """The network in a file.

    Raises:
        Refused: it cannot be read, or what runs it is not installed.
    """
    if not path.is_file():
        raise Refused(f"the package lacks the file {path.name}, which its card names as network")
    return _Onnx(path) if kind == "onnx" else _TorchScript(path)


def served_network(native: Mapping[str, str]) -> Network:
    """The network that Triton serves as a model of its own (as `services.catalogue.networks` has laid it)."""
    return _Served(native)


class _Served:
    def __init__(self, native: Mapping[str, str]) -> None:
        import triton_python_backend_utils as triton  # exists only inside the backend's process

        self._triton: Any = triton
        self._native = native
        self._type = {"FP16": np.float16, "FP64": np.float64}.get(native["type"], np.float32)
        # Answers come to the main memory, wherever the network runs.
        self._memory = triton.PreferredMemory(triton.TRITONSERVER_MEMORY_CPU, 0)

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        triton, output = self._triton, self._native["output"]
        answer = triton.InferenceRequest(
            model_name=self._native["model"],
            requested_output_names=[output],
            inputs=[triton.Tensor(self._native["input"], batch.astype(self._type, copy=False))],
            preferred_memory=self._memory,
        ).exec()
        if answer.has_error():
            words = answer.error().message().split("\n", maxsplit=1)[0]
            raise Refused(f"the network does not take an input of {list(batch.shape)}: {words}")
        return np.asarray(triton.get_output_tensor_by_name(answer, output).as_numpy(), np.float32)


class _Onnx:
    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise Refused(
                "this package is of kind onnx, and Triton's Python environment has no onnxruntime; "
                "install it (requirements/triton.in), then start Triton again"
            ) from None
        options = onnxruntime.SessionOptions()
        options.enable_cpu_mem_arena = False  # what a window took is given back after it
        options.log_severity_level = 3
        # Threads that wait sleep: spinning costs a fifth of the processor time, and others want it (load_tests).
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        on_gpu = [name for name in onnxruntime.get_available_providers() if name == "CUDAExecutionProvider"]
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=[*on_gpu, "CPUExecutionProvider"]
            )
        except Exception as error:  # noqa: BLE001 - its own exceptions have no common base
            raise Refused(f"the network cannot be read: {error}") from None
        inputs = self._session.get_inputs()
        if len(inputs) != 1:
            raise Refused(f"the network has {len(inputs)} inputs, and one is due")
        self._input = inputs[0].name
        self._type = {"tensor(float16)": np.float16, "tensor(double)": np.float64}.get(inputs[0].type, np.float32)
        self._output = self._session.get_outputs()[0].name

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            (answer,) = self._session.run([self._output], {self._input: batch.astype(self._type, copy=False)})
        except Exception as error:  # noqa: BLE001 - as above
            words = str(error).split("\n", maxsplit=1)[0]
            raise Refused(f"the network does not take an input of {list(batch.shape)}: {words}") from None
        return np.asarray(answer, np.float32)


class _TorchScript:
    def __init__(self, path: Path) -> None:
        try:
            import torch
        except ImportError:
            raise Refused(
                "this package is of kind torchscript, and Triton's Python environment has no torch; put it into an "
                "environment of the package's own (requirements.lock, see docs/models.md), or export the network with "
                "torch.onnx.export and use the kind onnx"
            ) from None
        self._torch: Any = torch
        try:
            self._device = "cuda" if torch.cuda.is_available() else "cpu"
            self._module = torch.jit.load(str(path), map_location=self._device).eval()
        except RuntimeError as error:
            raise Refused(f"the network cannot be read: {str(error).splitlines()[0]}") from None

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        with self._torch.inference_mode():
            answer = self._module(self._torch.from_numpy(np.ascontiguousarray(batch)).to(self._device))
        answer = answer[0] if isinstance(answer, (tuple, list)) else answer
        found: NDArray[np.float32] = answer.float().cpu().numpy()
        return found
