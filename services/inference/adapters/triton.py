"""Triton by its gRPC interface (KServe v2), with system shared memory where it is on this host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype

from services.chassis.health import Health
from services.chassis.log import Log
from services.contracts.card import MAIN_INPUT, CardInput, ModelCard
from services.contracts.tensors import Output, Units, geometry_names, label_type, promised, sample_type, units_of
from services.inference.adapters import shared_memory, triton_times
from services.inference.adapters.shared_memory import PREFIX, Region, region
from services.inference.errors import ModelFailed, ModelNotLoaded, ModelTooSlow, OutputMismatch, TritonUnavailable
from services.inference.model import Geometry, Prediction
from services.inference.settings import SharedMemory

_DEADLINE_SECONDS = 5.0
"""For everything but inference."""
_LOADING_SECONDS = 60.0
_SWEEP_SECONDS = 60.0
_SWEEP_AGAIN_SECONDS = 2.0


class TritonServer:
    """A `services.inference.ports.ModelServer`. Use `connected`."""

    def __init__(self, client: InferenceServerClient, *, shared_memory: SharedMemory, local: bool, log: Log) -> None:
        self._client = client
        self._mode = shared_memory
        self._share = shared_memory is SharedMemory.ON or (shared_memory is SharedMemory.AUTO and local)
        self._log = log

    @asynccontextmanager
    async def room(
        self,
        card: ModelCard,
        shape: tuple[int, int, int],
        more: Mapping[str, tuple[int, int, int]] = MappingProxyType({}),
    ) -> AsyncIterator[_Room]:
        """Memory for the inputs; see the port."""
        wanted = {one.name: one for one in (card.main_input, *card.more_inputs)}
        forms = {name: _form(wanted[name], each) for name, each in ((MAIN_INPUT, shape), *more.items())}
        sizes = {name: dtype.itemsize * int(np.prod(full)) for name, (dtype, full) in forms.items()}
        sizes |= _output_sizes(card, int(np.prod(shape)))
        with ExitStack() as regions:
            shared = await self._regions(sizes, regions) if self._share else None
            if shared is None:
                arrays = {name: np.empty(full, dtype) for name, (dtype, full) in forms.items()}
                yield _Room(self._client, card, arrays.pop(MAIN_INPUT), arrays, {})
                return
            try:
                inside = {name: shared[name].array(full, dtype.type) for name, (dtype, full) in forms.items()}
                yield _Room(self._client, card, inside.pop(MAIN_INPUT), inside, shared)
            finally:
                for one in shared.values():
                    await self._unregister(one)

    async def _regions(self, sizes: Mapping[str, int], regions: ExitStack) -> dict[str, Region] | None:
        """Regions for the tensors, by name, that Triton has opened; None where that cannot be."""
        made: dict[str, Region] = {}
        try:
            for name, size in sizes.items():  # in threads: the kernel clears all of it now
                made[name] = await asyncio.to_thread(regions.enter_context, region(size))
        except OSError as error:
            if self._mode is SharedMemory.ON:
                raise TritonUnavailable("shared memory is full or missing") from None
            self._log.warning("shared_memory.not_used", error=type(error).__name__)
            regions.close()
            return None
        opened: list[Region] = []
        for one in made.values():
            if not await self._register(one):
                break
            opened.append(one)
        else:
            return made
        # It runs elsewhere in spite of its address, say in a container: that holds for the next jobs too.
        self._log.warning("shared_memory.not_used", error="refused by Triton")
        self._share = False
        for one in opened:
            await self._unregister(one)
        regions.close()
        return None

    async def _register(self, one: Region) -> bool:
        try:
            await self._client.register_system_shared_memory(
                one.name, f"/{one.name}", len(one.memory), client_timeout=_DEADLINE_SECONDS
            )
        except InferenceServerException as error:
            if _status(error) in _PASSING or self._mode is SharedMemory.ON:
                raise TritonUnavailable("it cannot open shared memory") from None
            return False
        return True

    async def _unregister(self, one: Region | str) -> bool:
        """Lets Triton forget a region. It refuses while a request is using it: then `sweep` comes back to that."""
        name = one if isinstance(one, str) else one.name
        try:
            await self._client.unregister_system_shared_memory(name, client_timeout=_DEADLINE_SECONDS)
        except InferenceServerException:
            return False
        return True

    async def sweep(self, stopping: asyncio.Event) -> None:
        """Removes what dead processes left in shared memory, here and in Triton, until `stopping`."""
        while not stopping.is_set():
            clean = not self._share or await self.sweep_once()
            with suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), _SWEEP_SECONDS if clean else _SWEEP_AGAIN_SECONDS)

    async def sweep_once(self) -> bool:
        """One sweep; False where something had to be left for the next one."""
        removed = await asyncio.to_thread(shared_memory.remove_leftovers)
        if removed:
            self._log.info("shared_memory.leftovers_removed", regions=len(removed))
        try:
            status = await self._client.get_system_shared_memory_status(as_json=True, client_timeout=_DEADLINE_SECONDS)
        except InferenceServerException:
            return False
        known = [name for name in status.get("regions", {}) if name.startswith(PREFIX)]
        gone = [name for name in known if not (shared_memory.FOLDER / name).exists()]
        return all([await self._unregister(name) for name in gone])


def _form(wanted: CardInput, shape: tuple[int, int, int]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Type and shape of an input's tensor."""
    units = units_of(wanted)
    return np.dtype(sample_type(units)), (*shape, 3) if units is Units.RGB else shape


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
    volume: NDArray[Any]
    more: Mapping[str, NDArray[Any]]
    _regions: Mapping[str, Region]

    @property
    def means(self) -> str:
        """How tensors travel; see the port."""
        return "shared memory" if self._regions else "gRPC"

    async def infer(self, geometry: Geometry, more: Mapping[str, Geometry] = MappingProxyType({})) -> Prediction:
        """Run the model; see the port."""
        card = self._card
        inputs = [
            await self._input(MAIN_INPUT, self.volume),
            _tensor("spacing", np.array(geometry.spacing, np.float64)),
            _tensor("direction", geometry.direction),
        ]
        for name, array in self.more.items():
            spacing, direction, offset = geometry_names(name)
            inputs += [
                await self._input(name, array),
                _tensor(spacing, np.array(more[name].spacing, np.float64)),
                _tensor(direction, more[name].direction),
                _tensor(offset, np.array(geometry.offset_of(more[name]), np.float64)),
            ]
        owed = promised(card)
        try:
            async with triton_times.spans(self._client, card.served):
                answer = await self._client.infer(
                    card.served,
                    inputs,
                    outputs=[self._requested(output) for output in owed],
                    client_timeout=card.timeout_seconds,
                )
        except InferenceServerException as error:
            if _STUB_DIED in str(error.message()):
                await self._start_again(card.served)
            raise _fault(error, card) from None
        return Prediction(**{output.value: self._read(answer, output) for output in owed})

    async def _input(self, name: str, array: NDArray[Any]) -> InferInput:
        tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
        if self._regions:
            tensor.set_shared_memory(self._regions[name].name, array.nbytes)
        else:
            await asyncio.to_thread(tensor.set_data_from_numpy, array)
        return tensor

    def _requested(self, output: Output) -> InferRequestedOutput:
        requested = InferRequestedOutput(output.value)
        if output in self._regions:
            requested.set_shared_memory(self._regions[output].name, len(self._regions[output].memory))
        return requested

    def _read(self, answer: Any, output: Output) -> NDArray[np.generic]:
        """One output of the answer, as an array; whether it is the right one is checked later."""
        if output not in self._regions:
            array = answer.as_numpy(output.value)
        else:
            told = answer.get_output(output.value)
            array = None
            if told is not None:
                shape, dtype = tuple(told.shape), triton_to_np_dtype(told.datatype)
                if dtype is None or np.prod(shape) * np.dtype(dtype).itemsize > len(self._regions[output].memory):
                    raise OutputMismatch(self._card.name, f"{output} are {told.datatype} {list(shape)}")
                array = self._regions[output].array(shape, dtype)
        if array is None:
            raise OutputMismatch(self._card.name, f"it has no {output}")
        return cast(NDArray[np.generic], array)

    async def _start_again(self, model: str) -> None:
        """Loads a model anew whose process has died: Triton would keep the dead one and answer every job with that."""
        with suppress(InferenceServerException):  # where loading is not ours to ask for, an operator has to
            await self._client.load_model(model, client_timeout=_LOADING_SECONDS)


def _tensor(name: str, values: NDArray[np.float64]) -> InferInput:
    tensor = InferInput(name, list(values.shape), "FP64")
    tensor.set_data_from_numpy(np.ascontiguousarray(values))
    return tensor


_PASSING = {"UNAVAILABLE", "CANCELLED"}
_STUB_DIED = "is not healthy"
"""What the python backend says of a model whose process was killed."""


def _status(error: InferenceServerException) -> str:
    return str(error.status()).removeprefix("StatusCode.")


def _fault(error: InferenceServerException, card: ModelCard) -> Exception:
    words = str(error.message() or "")
    match _status(error):
        case status if status in _PASSING:
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
