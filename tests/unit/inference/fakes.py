"""Stand-ins for the parts that `inference` needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from services.contracts.card import ModelCard
from services.contracts.events import Event
from services.contracts.tensors import Units, sample_type, units_of
from services.inference.errors import InputDamaged
from services.inference.model import Geometry, Prediction

CARD: Mapping[str, Any] = {
    "name": "toy",
    "version": "1.0.0",
    "title": "Toy",
    "author": "Plexus",
    "licence": "Apache-2.0",
    "intended_use": "Tests.",
    "task": "volume-segmentation",
    "selection": "true",
    "labels": [
        {
            "value": 3,
            "name": "Bright",
            "category": {"code": "91723000", "scheme": "SCT", "meaning": "Anatomical Structure"},
            "type": {"code": "272673000", "scheme": "SCT", "meaning": "Bone"},
            "colour": [1, 2, 3],
        }
    ],
    "measurements": [
        {
            "name": "volume",
            "quantity": {"code": "118565006", "scheme": "SCT", "meaning": "Volume"},
            "unit": {"code": "mL", "scheme": "UCUM", "meaning": "milliliter"},
        }
    ],
    "input": {"kind": "volume", "units": "HU"},
    "timeout_seconds": 5,
}


def toy_card() -> ModelCard:
    """A card with one label (3) and one measurement."""
    return ModelCard.from_mapping(CARD)


Answer = Callable[[NDArray[Any], Geometry], Prediction]


def bright(volume: NDArray[Any], geometry: Geometry) -> Prediction:
    """The toy model: what is above -900 HU has label 3."""
    labels = np.where(volume > -900, 3, 0).astype(np.uint8)
    return Prediction(labels, np.array([[np.count_nonzero(labels)]], np.float32))


class FakeWork:
    """A work store in memory."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files = dict(files)
        self.reads: list[str] = []

    async def read(self, key: str) -> bytes:
        self.reads.append(key)
        if key not in self.files:
            raise InputDamaged("lacks a file")
        return self.files[key]

    async def read_start(self, key: str, length: int) -> bytes:
        return (await self.read(key))[:length]

    async def find(self, key: str) -> bytes | None:
        return self.files.get(key)

    async def keep(self, key: str, data: bytes, *, replace: bool = False) -> bool:
        if key in self.files and not replace:
            return False
        self.files[key] = data
        return True


class FakeRoom:
    """A room in ordinary memory."""

    means = "nothing"

    def __init__(
        self,
        card: ModelCard,
        shape: tuple[int, int, int],
        answer: Answer,
        more: Mapping[str, tuple[int, int, int]],
    ) -> None:
        units = units_of(card)
        self.volume: NDArray[Any] = np.zeros((*shape, 3) if units is Units.RGB else shape, sample_type(units))
        wanted = {one.name: one for one in card.more_inputs}
        self.more = {name: np.zeros(each, sample_type(units_of(wanted[name]))) for name, each in more.items()}
        self.beside: Mapping[str, Geometry] = {}
        self.geometry = Geometry((), shape, (1, 1, 1), np.eye(3))
        self._answer = answer

    async def infer(self, geometry: Geometry, more: Mapping[str, Geometry] = MappingProxyType({})) -> Prediction:
        self.geometry, self.beside = geometry, more
        return self._answer(self.volume, geometry)


class FakeModels:
    """A model server that calls a function."""

    def __init__(self, answer: Answer = bright) -> None:
        self.answer = answer
        self.rooms: list[FakeRoom] = []

    @asynccontextmanager
    async def room(
        self,
        card: ModelCard,
        shape: tuple[int, int, int],
        more: Mapping[str, tuple[int, int, int]] = MappingProxyType({}),
    ) -> AsyncIterator[FakeRoom]:
        self.rooms.append(FakeRoom(card, shape, self.answer, more))
        yield self.rooms[-1]


class FakeEvents:
    """Remembers what was said; the same message id only once, as JetStream does."""

    def __init__(self) -> None:
        self.said: dict[str, Event] = {}
        self.mentioned: list[Event] = []

    async def say(self, event: Event, *, message_id: str | None = None) -> None:
        self.said.setdefault(message_id or str(len(self.said)), event)

    async def mention(self, event: Event) -> None:
        self.mentioned.append(event)

    def of(self, kind: type[Event]) -> list[Event]:
        return [event for event in self.said.values() if isinstance(event, kind)]


class FakeCards:
    """Cards by name and version."""

    def __init__(self, *cards: ModelCard) -> None:
        self._cards = {(card.name, card.version): card for card in cards}

    def find(self, model: str, version: str) -> ModelCard | None:
        return self._cards.get((model, version))
