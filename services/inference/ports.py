"""What this service needs of others, named by role."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from numpy.typing import NDArray

from services.contracts.card import ModelCard
from services.contracts.events import Event
from services.contracts.tensors import Units
from services.inference.model import Answer, Geometry, Outcome, Picture, Prediction, Slice


class Cards(Protocol):
    """The cards of models. Heavy work: call it in a thread."""

    def find(self, model: str, version: str) -> ModelCard | None:
        """The card of a version, or None if there is no such version.

        Raises:
            CardUnusable: there is one, and it cannot be used.
        """


class WorkStore(Protocol):
    """Where inputs and results lie."""

    async def read(self, key: str) -> bytes:
        """The bytes under `key`.

        Raises:
            InputDamaged: nothing is there.
            WorkUnavailable: the store does not answer.
        """

    async def read_start(self, key: str, length: int) -> bytes:
        """The first `length` bytes under `key`, or all if there are fewer. Raises as `read`."""

    async def find(self, key: str) -> bytes | None:
        """The bytes under `key`, or None."""

    async def keep(self, key: str, data: bytes, *, replace: bool = False) -> bool:
        """Write `data` whole or not at all. Without `replace`, what is there stays and False comes back."""


class Reader(Protocol):
    """What a PS3.10 file says. Heavy work: call it in a thread."""

    def slices(self, data: bytes, units: Units) -> tuple[Slice, ...]:
        """The place of each frame; `data` may end anywhere after the attributes that say it.

        Raises:
            NotAVolume: they cannot be slices of a volume in these units.
        """

    def picture(self, data: bytes, units: Units) -> Picture:
        """What the header says of a projection or a loop; `data` may end anywhere after its attributes.

        Raises:
            NotAPicture: it cannot be one in these units.
        """

    def decode(self, data: bytes, units: Units, out: Mapping[int, NDArray[Any]]) -> None:
        """Write frames, by their numbers from 1, in `units` into `out`.

        Raises:
            PixelsUnreadable: one cannot be decoded, or has another size.
            NotAVolume: its values cannot become these units.
        """


class Room(Protocol):
    """Memory for one input, from which the model can read without another copy."""

    @property
    def volume(self) -> NDArray[Any]:
        """To be filled: planes by rows by columns, of the type of the card's units; colours last."""

    @property
    def more(self) -> Mapping[str, NDArray[Any]]:
        """The same for each further input that is there, by its name."""

    @property
    def means(self) -> str:
        """How tensors travel, for people: `shared memory` or `gRPC`."""

    async def infer(self, geometry: Geometry, more: Mapping[str, Geometry] = ...) -> Prediction:
        """Run the model on the volume. The answer may lie in the room: use it before leaving.

        Args:
            more: where the further inputs lie.

        Raises:
            TritonUnavailable: the same may pass later.
            ModelUnknown: the model is not served.
            ModelFailed: the model threw.
            ModelTooSlow: the card's time is over.
        """


class ModelServer(Protocol):
    """Where models run."""

    def room(
        self, card: ModelCard, shape: tuple[int, int, int], more: Mapping[str, tuple[int, int, int]] = ...
    ) -> AbstractAsyncContextManager[Room]:
        """Memory for an input of `shape`, and for `more` of them by their names, for the model of `card`."""


class ResultFormat(Protocol):
    """The file in which a result crosses the airlock. Heavy work: call it in a thread."""

    def pack(self, outcome: Outcome) -> bytes:
        """The bytes of the file."""

    def is_whole(self, data: bytes, job_id: str) -> bool:
        """Whether `data` is a whole result of the job."""

    def unpack(self, data: bytes, job_id: str) -> Answer:
        """What the file says.

        Raises:
            InputDamaged: it is not a whole result of the job.
        """


class Events(Protocol):
    """Where facts are said."""

    async def say(self, event: Event, *, message_id: str | None = None) -> None:
        """Say a fact durably; the same `message_id` again changes nothing."""

    async def mention(self, event: Event) -> None:
        """Say what may be lost."""
