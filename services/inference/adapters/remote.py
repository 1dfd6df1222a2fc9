"""Models that somebody else's server runs (KServe's Open Inference Protocol, version 2), by gRPC or HTTP.

Nothing goes to a host that the site has not named. Tensors travel in messages: that server is not on this machine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.contracts.card import MAIN_INPUT, CardInput, ModelCard
from services.contracts.remote import Protocol, Remote, remote_of
from services.contracts.tensors import form, promised, units_of
from services.inference.adapters import kserve_grpc, kserve_http
from services.inference.errors import (
    ModelFailed,
    ModelTooSlow,
    OutputMismatch,
    RemoteAway,
    RemoteNotAllowed,
    RemoteUnavailable,
)
from services.inference.model import Geometry, Prediction, tensors
from services.inference.ports import ModelServer, Room

_SMALL_BYTES = 1 << 26
_VALUE_BYTES = 16
"""For a voxel of an answer: a number as text takes most."""
_FIRST_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Site:
    """To whom this site sends, and what opens their doors.

    Attributes:
        hosts: `host` or `host:port` of each server that may be asked.
        ca_file: who signs the servers' certificates; None for the authorities that the system trusts.
        certificate: ours, and its key, for servers that want to know who asks.
        tokens: a folder with a file for each host that wants a bearer token.
    """

    hosts: frozenset[str] = frozenset()
    ca_file: Path | None = None
    certificate: tuple[Path, Path] | None = None
    tokens: Path | None = None

    def allows(self, remote: Remote) -> bool:
        """Whether a server may be asked."""
        return bool({remote.host, remote.address} & self.hosts)

    def token_for(self, remote: Remote) -> str:
        """The token for a server, or "". None goes out in the clear."""
        if self.tokens is None or not remote.tls:
            return ""
        try:
            return (self.tokens / remote.host).read_text(encoding="ascii").strip()
        except FileNotFoundError:
            return ""


class Servers:
    """A `services.inference.ports.ModelServer`: the site's own, and those that cards name."""

    def __init__(self, own: ModelServer, site: Site, *, pause_seconds: float = _FIRST_PAUSE_SECONDS) -> None:
        self._own = own
        self._site = site
        self._pause_seconds = pause_seconds

    def room(
        self,
        card: ModelCard,
        shape: tuple[int, int, int],
        more: Mapping[str, tuple[int, int, int]] = MappingProxyType({}),
    ) -> AbstractAsyncContextManager[Room]:
        """Memory for the inputs; see the port."""
        remote = remote_of(card)
        return self._own.room(card, shape, more) if remote is None else self._remote(card, remote, shape, more)

    @asynccontextmanager
    async def _remote(
        self, card: ModelCard, remote: Remote, shape: tuple[int, int, int], more: Mapping[str, tuple[int, int, int]]
    ) -> AsyncIterator[_RemoteRoom]:
        if not self._site.allows(remote):
            raise RemoteNotAllowed(card.name, remote.address)
        wanted = {one.name: one for one in card.more_inputs}
        arrays = {name: _empty(wanted[name], each) for name, each in more.items()}
        yield _RemoteRoom(card, remote, self._site, self._pause_seconds, _empty(card.main_input, shape), arrays)


def _empty(wanted: CardInput, shape: tuple[int, int, int]) -> NDArray[Any]:
    dtype, full = form(units_of(wanted), shape)
    return np.empty(full, dtype)


@dataclass(frozen=True, slots=True, eq=False)
class _RemoteRoom:
    _card: ModelCard
    _remote: Remote
    _site: Site
    _pause_seconds: float
    volume: NDArray[Any]
    more: Mapping[str, NDArray[Any]]

    @property
    def means(self) -> str:
        """How tensors travel; see the port."""
        return f"{self._remote.protocol} to a remote server"

    async def infer(self, geometry: Geometry, more: Mapping[str, Geometry] = MappingProxyType({})) -> Prediction:
        """Run the model; see the port. A server that is away is asked again, as often as the card says."""
        card, remote = self._card, self._remote
        ours = tensors({MAIN_INPUT: self.volume, **self.more}, geometry, more)
        sent = {name: array for our_name, array in ours.items() if (name := remote.name_of(our_name))}
        owed = {output: remote.name_of(output) for output in promised(card)}
        answer = await self._patiently(lambda: self._ask(sent, list(owed.values())))
        if missing := [str(output) for output, name in owed.items() if name not in answer]:
            raise OutputMismatch(card.name, f"it has no {' and no '.join(missing)}")
        return Prediction(**{output.value: answer[name] for output, name in owed.items()})

    async def _ask(self, sent: Mapping[str, NDArray[Any]], outputs: list[str]) -> Mapping[str, NDArray[Any]]:
        card, remote, site = self._card, self._remote, self._site
        voxels = int(np.prod(self.volume.shape)) * max(1, len(card.labels))
        ask = kserve_grpc.ask if remote.protocol is Protocol.GRPC else kserve_http.ask
        return await ask(
            remote,
            sent,
            outputs,
            token=site.token_for(remote),
            ca_file=site.ca_file,
            certificate=site.certificate,
            seconds=card.timeout_seconds,
            most_bytes=_SMALL_BYTES + _VALUE_BYTES * voxels,
        )

    async def _patiently(self, ask: Callable[[], Awaitable[Mapping[str, NDArray[Any]]]]) -> Mapping[str, NDArray[Any]]:
        card, remote = self._card, self._remote
        for attempt in range(remote.attempts):
            try:
                return await ask()
            except RemoteAway:
                if attempt + 1 < remote.attempts:
                    await asyncio.sleep(self._pause_seconds * 2**attempt)
            except TimeoutError:
                raise ModelTooSlow(card.name, card.timeout_seconds) from None
            except kserve_http.Refused as refused:
                raise ModelFailed(card.name, refused.words) from None
        raise RemoteUnavailable(card.name, remote.address, remote.attempts)
