"""Triton by its gRPC interface (KServe v2 and its model repository extension), and the repository that it reads."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NoReturn

import numpy as np
from tritonclient.grpc import InferInput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from services.catalogue import networks
from services.catalogue.errors import ModelBrokenError, ServerUnavailableError
from services.catalogue.networks import Native
from services.catalogue.ports import Arrays, Environments
from services.catalogue.repository import lay
from services.contracts.card import ModelCard

_SECONDS: Final = 5.0
"""For everything but loading and inference."""
_PASSING: Final = {"UNAVAILABLE", "CANCELLED"}


class TritonModels:
    """A `services.catalogue.ports.ModelServer`. Use `connected`."""

    def __init__(
        self,
        client: InferenceServerClient,
        repository: Path,
        *,
        load_seconds: float,
        environments: Environments | None = None,
        trusted: Collection[str] = (),
        backends: Collection[str] = (),
    ) -> None:
        self._client = client
        self._environments = environments
        self._repository = repository
        self._trusted = trusted
        self._backends = backends
        self._load_seconds = load_seconds
        self._laying = asyncio.Lock()
        repository.mkdir(parents=True, exist_ok=True)

    async def serve(self, served: str, folder: Path, card: ModelCard) -> None:
        """Lay a package into the repository, and load it; see the port."""
        environment = await self._environments.ready(folder) if self._environments is not None else None
        network = await self._network(networks.model_of(served), folder, card) if environment is None else None
        async with self._laying:
            await asyncio.to_thread(
                lay,
                card,
                folder,
                self._repository / served,
                environment,
                trusted=card.name in self._trusted,
                native=network.plain() if network is not None else None,
            )
        await self._load(served, card)

    async def _network(self, model: str, folder: Path, card: ModelCard) -> Native | None:
        """Have a backend of Triton's own serve a package's network, where there is one that can."""
        if not networks.runs(card, self._backends):
            return None
        async with self._laying:
            await asyncio.to_thread(networks.lay, card, folder, self._repository / model)
        await self._load(model, card)
        try:
            told = await self._client.get_model_metadata(model, client_timeout=_SECONDS)
        except InferenceServerException as error:
            _raise(error, f"Triton could not load {card.name} {card.version}")
        if len(told.inputs) == len(told.outputs) == 1:
            return Native(model, told.inputs[0].name, told.outputs[0].name, told.inputs[0].datatype)
        await self._withdraw(model)  # which output is the first one, Triton does not tell: our runner knows
        return None

    async def _load(self, model: str, card: ModelCard) -> None:
        try:
            await self._client.load_model(model, client_timeout=self._load_seconds)
            ready = await self._client.is_model_ready(model, client_timeout=_SECONDS)
        except InferenceServerException as error:
            _raise(error, f"Triton could not load {card.name} {card.version}")
        if not ready:
            raise ModelBrokenError(f"Triton could not load {card.name} {card.version}", "it is not ready")

    async def withdraw(self, served: str) -> None:
        """Unload a model and take it out of the repository; see the port."""
        await self._withdraw(served)
        await self._withdraw(networks.model_of(served))

    async def _withdraw(self, model: str) -> None:
        place = self._repository / model
        async with self._laying:
            if not await asyncio.to_thread(place.exists):
                return
            try:
                await self._client.unload_model(model, client_timeout=_SECONDS)
            except InferenceServerException as error:
                if _status(error) in _PASSING:
                    raise ServerUnavailableError from None
            await asyncio.to_thread(shutil.rmtree, place, ignore_errors=True)

    async def loaded(self) -> frozenset[str]:
        """The models that are ready; see the port."""
        try:
            index = await self._client.get_model_repository_index(as_json=True, client_timeout=_SECONDS)
        except InferenceServerException:
            raise ServerUnavailableError from None
        return frozenset(model["name"] for model in index.get("models", ()) if model.get("state") == "READY")

    async def infer(self, served: str, inputs: Arrays, *, seconds: float) -> Arrays:
        """Run a model once; see the port."""
        tensors = []
        for name, array in inputs.items():
            tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
            tensor.set_data_from_numpy(np.ascontiguousarray(array))
            tensors.append(tensor)
        try:
            answer = await self._client.infer(served, tensors, client_timeout=seconds)
        except InferenceServerException as error:
            if _status(error) == "DEADLINE_EXCEEDED":
                raise ModelBrokenError("the model", f"took longer than {seconds:g} seconds") from None
            _raise(error, "the model")
        outputs = {output.name: answer.as_numpy(output.name) for output in answer.get_response().outputs}
        return {name: array for name, array in outputs.items() if array is not None}


def _status(error: InferenceServerException) -> str:
    return str(error.status()).removeprefix("StatusCode.")


def _raise(error: InferenceServerException, what: str) -> NoReturn:
    if _status(error) in _PASSING:
        raise ServerUnavailableError from None
    raise ModelBrokenError(what, str(error.message() or "it failed")) from None


@asynccontextmanager
async def connected(
    address: str,
    repository: Path,
    *,
    load_seconds: float,
    environments: Environments | None = None,
    trusted: Collection[str] = (),
    backends: Collection[str] = (),
) -> AsyncIterator[TritonModels]:
    """Triton at `address`, reading `repository`. It need not answer yet."""
    client = InferenceServerClient(address)
    try:
        yield TritonModels(
            client, repository, load_seconds=load_seconds, environments=environments, trusted=trusted, backends=backends
        )
    finally:
        await client.close()
