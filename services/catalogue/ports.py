"""What the catalogue needs of others, named by role."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from services.catalogue.environments import Progress
from services.catalogue.model import Change, Model, Version
from services.catalogue.shadows import Run
from services.contracts.card import ModelCard
from services.contracts.events import AuditRecorded

Arrays = Mapping[str, NDArray[np.generic]]


@dataclass(frozen=True, slots=True)
class Package:
    """A package that has been unpacked and read."""

    folder: Path
    card: ModelCard
    digest: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be kept and said, in one transaction."""

    model: Model
    changes: tuple[Change, ...] = ()
    records: tuple[AuditRecorded, ...] = ()


class Models(Protocol):
    """The models that are kept. Deciding is alone with what it decides on: nobody changes it meanwhile."""

    async def decide(self, name: str, decide: Callable[[Model], Decision]) -> Model:
        """Keep and say what `decide` makes of a model, which is empty if there is none of this name."""

    async def get(self, name: str) -> Model | None:
        """The model."""

    async def list(self) -> Sequence[Model]:
        """All models, by name."""

    async def changes(self, name: str) -> Sequence[Change]:
        """What was done to a model, newest first."""


class Runs(Protocol):
    """What candidates said beside the active version, in figures."""

    async def keep(self, run: Run) -> bool:
        """Keep a run; False if it is there, or if its candidate runs beside its active version no more."""

    async def of(self, name: str, active: str, candidate: str) -> Sequence[Run]:
        """The runs of a candidate beside a version, oldest first."""

    async def last(self, name: str) -> tuple[str, str] | None:
        """The active version and the candidate of the newest run."""


class Packages(Protocol):
    """Where packages lie. Heavy work: call it in a thread."""

    def unpacked(self, archive: Path) -> AbstractContextManager[Package]:
        """The package in a tar file, until the context ends.

        Raises:
            PackageRefusedError: it is none.
            PackageTooLargeError: it is too large.
        """

    def read(self, folder: Path) -> Package:
        """The package in a folder. Raises as `unpacked`."""

    def read_all(self, folder: Path) -> Sequence[Package]:
        """The packages in the folders of a folder, by name. Raises as `unpacked`."""

    def keep(self, package: Package) -> None:
        """Put a package in its place, whole or not at all."""

    def folder(self, version: Version) -> Path:
        """Where a version lies."""

    def cases(self, version: Version) -> Sequence[Case]:
        """Its test cases, by name.

        Raises:
            PackageRefusedError: one cannot be read.
        """

    def reports(self, version: Version) -> Path:
        """The folder for what a check writes."""


@dataclass(frozen=True, slots=True)
class Case:
    """A test case of a package: what goes in, what is to come out, and how near is near enough.

    Attributes:
        dice: the least Dice coefficient of a label.
        relative: the largest relative error of any other number.
    """

    name: str
    inputs: Arrays
    expected: Arrays | None
    dice: float = 0.99
    relative: float = 0.01


class Environments(Protocol):
    """The environments that packages have of their own, one for each lock file."""

    async def ready(self, package: Path) -> Path | None:
        """The folder from which a package's code imports, built if it is not there; None: it has no lock file.

        Raises:
            PackageRefusedError: the lock file cannot be used.
            EnvironmentBrokenError: it cannot be built; nothing is left of it.
        """

    async def progress(self, package: Path) -> Progress:
        """How far the environment of a package is. Raises as `ready`."""

    async def keep_only(self, packages: Iterable[Path]) -> Sequence[str]:
        """Remove the environments that none of these packages uses; gives their names."""


class ModelServer(Protocol):
    """Where models run. Its names of models are its own: `Served`."""

    async def serve(self, served: str, folder: Path, card: ModelCard) -> None:
        """Lay a package into the server's repository, and load it.

        Raises:
            ModelBrokenError: it cannot be loaded, or its environment cannot be built; what was served before still is.
            ServerUnavailableError: the server does not answer.
        """

    async def withdraw(self, served: str) -> None:
        """Unload a model and take it out of the repository; nothing happens if it is not there."""

    async def loaded(self) -> frozenset[str]:
        """The models that are ready. Raises `ServerUnavailableError`."""

    async def infer(self, served: str, inputs: Arrays, *, seconds: float) -> Arrays:
        """Run a model once.

        Raises:
            ModelBrokenError: it threw, or took longer than `seconds`.
            ServerUnavailableError: the server does not answer.
        """


class Pictures(Protocol):
    """What people look at. Heavy work: call it in a thread."""

    def overlay(self, card: ModelCard, inputs: Arrays, outputs: Arrays) -> bytes | None:
        """A PNG of the input with labels and boxes on it; None where the input is no image."""


class Journal(Protocol):
    """Where happenings are noted."""

    def info(self, event: str, **fields: Any) -> None:
        """Note what happened."""

    def warning(self, event: str, **fields: Any) -> None:
        """Note what somebody should look at."""
