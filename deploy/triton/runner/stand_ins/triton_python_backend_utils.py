"""Stands in for the module of Triton's python backend, where a model of the package's own runs confined."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class TritonError:
    """Why a request failed."""

    def __init__(self, message: str = "", code: int = 0) -> None:
        self._message = message
        self._code = code

    def message(self) -> str:
        """In words."""
        return self._message

    def code(self) -> int:
        """As a number."""
        return self._code


class TritonModelException(Exception):
    """What a model throws."""


class Tensor:
    """An array with a name."""

    def __init__(self, name: str, array: NDArray[Any]) -> None:
        self._name = name
        self._array = np.asarray(array)

    def name(self) -> str:
        """Its name."""
        return self._name

    def as_numpy(self) -> NDArray[Any]:
        """Its values."""
        return self._array

    def is_cpu(self) -> bool:
        """Always: nothing lies on a GPU here."""
        return True


class InferenceRequest:
    """What is asked."""

    def __init__(self, inputs: Sequence[Tensor], requested_output_names: Sequence[str]) -> None:
        self._inputs = list(inputs)
        self._names = list(requested_output_names)

    def inputs(self) -> list[Tensor]:
        """The tensors that come in."""
        return self._inputs

    def requested_output_names(self) -> list[str]:
        """What is wanted."""
        return self._names

    def request_id(self) -> str:
        """None."""
        return ""

    def is_cancelled(self) -> bool:
        """Never: the process is ended instead."""
        return False


class InferenceResponse:
    """What is answered."""

    def __init__(self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None) -> None:
        self._tensors = list(output_tensors)
        self._error = error

    def output_tensors(self) -> list[Tensor]:
        """The tensors that go out."""
        return self._tensors

    def has_error(self) -> bool:
        """Whether it failed."""
        return self._error is not None

    def error(self) -> TritonError | None:
        """Why."""
        return self._error


def get_input_tensor_by_name(request: InferenceRequest, name: str) -> Tensor | None:
    """The input of this name."""
    return next((tensor for tensor in request.inputs() if tensor.name() == name), None)


def get_output_tensor_by_name(response: InferenceResponse, name: str) -> Tensor | None:
    """The output of this name."""
    return next((tensor for tensor in response.output_tensors() if tensor.name() == name), None)


def get_input_config_by_name(model_config: dict[str, Any], name: str) -> dict[str, Any] | None:
    """What the configuration says of an input."""
    return _named(model_config, "input", name)


def get_output_config_by_name(model_config: dict[str, Any], name: str) -> dict[str, Any] | None:
    """What the configuration says of an output."""
    return _named(model_config, "output", name)


def using_decoupled_model_transaction_policy(model_config: dict[str, Any]) -> bool:
    """Never."""
    return False


def _named(model_config: Any, side: str, name: str) -> dict[str, Any] | None:
    known = json.loads(model_config) if isinstance(model_config, str) else model_config
    return next((one for one in known.get(side, ()) if one["name"] == name), None)
