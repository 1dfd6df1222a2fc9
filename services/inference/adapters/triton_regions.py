"""Shared memory that Triton has open: taken for a job, given back after it, swept up after a crash."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress

from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from services.chassis.log import Log
from services.inference.adapters import shared_memory
from services.inference.adapters.shared_memory import PREFIX, Region, region
from services.inference.errors import TritonUnavailable
from services.inference.settings import SharedMemory

_DEADLINE_SECONDS = 5.0
_SWEEP_SECONDS = 60.0
_SWEEP_AGAIN_SECONDS = 2.0
PASSING = {"UNAVAILABLE", "CANCELLED"}
"""States in which Triton is away, and may come back."""


class TritonRegions:
    """The regions of one Triton."""

    def __init__(self, client: InferenceServerClient, *, mode: SharedMemory, local: bool, log: Log) -> None:
        self._client = client
        self._mode = mode
        self._share = mode is SharedMemory.ON or (mode is SharedMemory.AUTO and local)
        self._log = log

    @asynccontextmanager
    async def taken(self, sizes: Mapping[str, int]) -> AsyncIterator[Mapping[str, Region]]:
        """Regions of so many bytes, by name; none where Triton does not share our memory, or there is not enough.

        Raises:
            TritonUnavailable: none although there have to be, or Triton is away.
        """
        with ExitStack() as regions:
            shared = await self._open(sizes, regions) if self._share else {}
            try:
                yield shared
            finally:
                for one in shared.values():
                    await self._unregister(one.name)

    async def _open(self, sizes: Mapping[str, int], regions: ExitStack) -> dict[str, Region]:
        made: dict[str, Region] = {}
        try:
            for name, size in sizes.items():  # in threads: the kernel clears all of it now
                made[name] = await asyncio.to_thread(regions.enter_context, region(size))
        except OSError as error:
            if self._mode is SharedMemory.ON:
                raise TritonUnavailable("shared memory is full or missing") from None
            self._log.warning("shared_memory.not_used", error=type(error).__name__)
            regions.close()
            return {}
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
            await self._unregister(one.name)
        regions.close()
        return {}

    async def _register(self, one: Region) -> bool:
        try:
            await self._client.register_system_shared_memory(
                one.name, f"/{one.name}", len(one.memory), client_timeout=_DEADLINE_SECONDS
            )
        except InferenceServerException as error:
            if status(error) in PASSING or self._mode is SharedMemory.ON:
                raise TritonUnavailable("it cannot open shared memory") from None
            return False
        return True

    async def _unregister(self, name: str) -> bool:
        """Lets Triton forget a region. It refuses while a request is using it: then `sweep` comes back to that."""
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
            told = await self._client.get_system_shared_memory_status(as_json=True, client_timeout=_DEADLINE_SECONDS)
        except InferenceServerException:
            return False
        known = [name for name in told.get("regions", {}) if name.startswith(PREFIX)]
        gone = [name for name in known if not (shared_memory.FOLDER / name).exists()]
        return all([await self._unregister(name) for name in gone])


def status(error: InferenceServerException) -> str:
    """The name of its gRPC status."""
    return str(error.status()).removeprefix("StatusCode.")
