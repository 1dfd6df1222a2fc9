"""Triton by its gRPC interface (KServe v2), with shared memory where it is on this host.

Models that our runner serves are told the names of the regions and work in them (docs/adr/0029); others get and give
tensors by Triton's extension for system shared memory.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype

from services.chassis.health import Health
from services.chassis.log import Log
from services.contracts.card import MAIN_INPUT, ModelCard
from services.contracts.tensors import PLACES, Output, form, label_type, promised, units_of
from services.inference.adapters import triton_times
from services.inference.adapters.shared_memory import Region
from services.inference.adapters.triton_regions import PASSING, TritonRegions, status
from services.inference.errors import ModelFailed, ModelNotLoaded, ModelTooSlow, OutputMismatch, TritonUnavailable
from services.inference.model import Geometry, Prediction, tensors
from services.inference.settings import SharedMemory

_DEADLINE_SECONDS = 5.0
"""For everything but inference."""
_LOADING_SECONDS = 60.0
_STUB_DIED = "is not healthy"
"""What the python backend says of a model whose process was killed."""


class TritonServer:
    """A `services.inference.ports.ModelServer`. Use `connected`."""

    def __init__(self, client: InferenceServerClient, *, shared_memory: SharedMemory, local: bool, log: Log) -> None:
        self._client = client
        self._regions = TritonRegions(client, mode=shared_memory, local=local, log=log)
        self.sweep, self.sweep_once = self._regions.sweep, self._regions.sweep_once

    @asynccontextmanager
    async def room(
        self,
        card: ModelCard,
        shape: tuple[int, int, int],
        more: Mapping[str, tuple[int, int, int]] = MappingProxyType({}),
    ) -> AsyncIterator[_Room]:
        """Memory for the inputs; see the port."""
        wanted = {one.name: one for one in (card.main_input, *card.more_inputs)}
        forms = {name: form(units_of(wanted[name]), each) for name, each in ((MAIN_INPUT, shape), *more.items())}
        sizes = {name: dtype.itemsize * int(np.prod(full)) for name, (dtype, full) in forms.items()}
        async with self._regions.taken(sizes | _output_sizes(card, int(np.prod(shape)))) as shared:
            inputs = {
                name: shared[name].array(full, dtype.type) if shared else np.empty(full, dtype)
                for name, (dtype, full) in forms.items()
            }
            yield _Room(self._client, card, inputs, shared)


def _output_sizes(card: ModelCard, voxels: int) -> dict[str, int]:
    """Bytes of the outputs that are as large as the input; the small ones travel with the answer."""
    sizes = {
        Output.LABELS: np.dtype(label_type(card)).itemsize * voxels,
        Output.PROBABILITIES: len(card.labels) * voxels,
        Output.MAP: 4 * voxels,
        Output.IMAGE: 3 * voxels,  # three colours of 8 bits; 16 bits of grey are less
    }
    return {output: sizes[output] for output in promised(card) if output in sizes}


@dataclass(frozen=True, slots=True, eq=False)
class _Room:
    _client: InferenceServerClient
    _card: ModelCard
    _inputs: Mapping[str, NDArray[Any]]
    _regions: Mapping[str, Region]

    @property
    def volume(self) -> NDArray[Any]:
        """See the port."""
        return self._inputs[MAIN_INPUT]

    @property
    def more(self) -> Mapping[str, NDArray[Any]]:
        """See the port."""
        return {name: array for name, array in self._inputs.items() if name != MAIN_INPUT}

    @property
    def means(self) -> str:
        """How tensors travel; see the port."""
        return "shared memory" if self._regions else "gRPC"

    async def infer(self, geometry: Geometry, more: Mapping[str, Geometry] = MappingProxyType({})) -> Prediction:
        """Run the model; see the port."""
        card, owed = self._card, promised(self._card)
        given = tensors(self._inputs, geometry, more)
        try:
            placed = bool(self._regions) and await self._takes_places()
            sent = {name: array for name, array in given.items() if not placed or name not in self._regions}
            asked = [PLACES] if placed else []
            asked += [output for output in owed if not placed or output not in self._regions]
            async with triton_times.spans(self._client, card.served):
                answer = await self._client.infer(
                    card.served,
                    [await self._input(name, array) for name, array in sent.items()],
                    outputs=[self._requested(name) for name in asked],
                    client_timeout=card.timeout_seconds,
                    parameters={PLACES: self._named(owed)} if placed else None,
                )
        except InferenceServerException as error:
            if _STUB_DIED in str(error.message()):
                await self._start_again(card.served)
            raise _fault(error, card) from None
        told = json.loads(answer.as_numpy(PLACES)[0]) if placed else {}
        return Prediction(**{output.value: self._read(answer, output, told) for output in owed})

    async def _takes_places(self) -> bool:
        """Whether the model takes the names of regions: it tells what it put there by an output of its own."""
        told = await self._client.get_model_metadata(self._card.served, client_timeout=_DEADLINE_SECONDS)
        return any(output.name == PLACES for output in told.outputs)

    def _named(self, owed: tuple[Output, ...]) -> str:
        """The regions by the names of their tensors, for the model."""
        inputs = {
            name: {"region": self._regions[name].name, "type": array.dtype.name, "shape": array.shape}
            for name, array in self._inputs.items()
        }
        outputs = {name: {"region": self._regions[name].name} for name in owed if name in self._regions}
        return json.dumps({"inputs": inputs, "outputs": outputs})

    async def _input(self, name: str, array: NDArray[Any]) -> InferInput:
        tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        if name in self._regions:
            tensor.set_shared_memory(self._regions[name].name, array.nbytes)
        else:
            await asyncio.to_thread(tensor.set_data_from_numpy, array)
        return tensor

    def _requested(self, name: str) -> InferRequestedOutput:
        requested = InferRequestedOutput(name)
        if name in self._regions:
            requested.set_shared_memory(self._regions[name].name, len(self._regions[name].memory))
        return requested

    def _read(self, answer: Any, output: Output, placed: Mapping[str, Mapping[str, Any]]) -> NDArray[np.generic]:
        """One output of the answer, as an array; whether it is the right one is checked later."""
        array: NDArray[np.generic] | None
        if output in placed:
            array = self._shared(output, tuple(placed[output]["shape"]), np.dtype(placed[output]["type"]))
        elif output not in self._regions:
            array = answer.as_numpy(output.value)
        else:
            told = answer.get_output(output.value)
            dtype = triton_to_np_dtype(told.datatype) if told is not None else None
            array = self._shared(output, tuple(told.shape), np.dtype(dtype)) if dtype is not None else None
        if array is None:
            raise OutputMismatch(self._card.name, f"it has no {output}")
        return array

    def _shared(self, output: Output, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[np.generic]:
        region = self._regions[output]
        if int(np.prod(shape)) * dtype.itemsize > len(region.memory):
            raise OutputMismatch(self._card.name, f"{output} are {dtype.name} {list(shape)}")
        return region.array(shape, dtype.type)

    async def _start_again(self, model: str) -> None:
        """Loads a model anew whose process has died: Triton would keep the dead one and answer every job with that."""
        with suppress(InferenceServerException):  # where loading is not ours to ask for, an operator has to
            await self._client.load_model(model, client_timeout=_LOADING_SECONDS)


def _fault(error: InferenceServerException, card: ModelCard) -> Exception:
    words = str(error.message() or "")
    match status(error):
        case state if state in PASSING:
            return TritonUnavailable("it does not answer")
        case "DEADLINE_EXCEEDED":
            return ModelTooSlow(card.name, card.timeout_seconds)
        case "NOT_FOUND":
            return ModelNotLoaded(card.name, card.version)
        case _ if _STUB_DIED in words:
            return TritonUnavailable("the model's process died")
        case _:
            return ModelFailed(card.name, words)


def is_local(address: str) -> bool:
    """Whether a host:port is on the loopback."""
    return address.rpartition(":")[0].strip("[]") in ("127.0.0.1", "localhost", "::1")


@asynccontextmanager
async def connected(
    address: str, *, shared_memory: SharedMemory, log: Log, health: Health
) -> AsyncIterator[TritonServer]:
    """Triton at `address`; `/readyz` asks it. It need not answer yet."""
    client = InferenceServerClient(address)

    async def ready() -> None:
        try:
            is_ready = await client.is_server_ready(client_timeout=2)
        except (InferenceServerException, grpc.aio.AioRpcError):
            is_ready = False
        if not is_ready:
            raise TritonUnavailable("it is not ready")

    health.add("triton", ready)
    try:
        yield TritonServer(client, shared_memory=shared_memory, local=is_local(address), log=log)
    finally:
        await client.close()
