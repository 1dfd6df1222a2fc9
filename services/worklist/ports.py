"""What the worklist needs of others, named by role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from services.contracts.card import ModelCard
from services.contracts.events import Event
from services.worklist.model import Job, JobQuery

Attributes = Mapping[str, Any]
"""A DICOM JSON object (PS3.18 F.2): tag to `{"vr": …, "Value": […]}`."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be kept and said, in one transaction: new or changed jobs, and facts with their message ids."""

    jobs: tuple[Job, ...] = ()
    facts: tuple[tuple[Event, str | None], ...] = ()


class Jobs(Protocol):
    """The jobs that are kept. Deciding is alone with what it decides on: nobody changes it meanwhile."""

    async def decide_on_series(
        self, study_instance_uid: str, series_instance_uid: str, decide: Callable[[Sequence[Job]], Decision]
    ) -> Decision:
        """Keep and say what `decide` makes of the jobs of a series, oldest first. The jobs come back as kept."""

    async def decide_on_job(self, job_id: str, decide: Callable[[Job], Decision]) -> Decision | None:
        """Keep and say what `decide` makes of a job; `None` if there is none."""

    async def get(self, job_id: str) -> Job | None:
        """The job."""

    async def find(self, query: JobQuery) -> Sequence[Job]:
        """The jobs that are asked for, newest first."""


class Changes(Protocol):
    """The jobs as they change, in whichever process."""

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Job]]]:
        """Batches of changed jobs from now on; an empty batch where there was nothing for a while."""


class SeriesArchive(Protocol):
    """Where series lie."""

    async def describe(self, study_instance_uid: str, series_instance_uid: str) -> Attributes:
        """The attributes of one instance that stands for the series, without bulk data."""


class Rule(Protocol):
    """A selection rule, compiled."""

    def selects(self, attributes: Attributes, instances: int) -> bool:
        """Whether the rule holds.

        Raises:
            RuleFailedError: it cannot be evaluated on this series.
        """


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may run: its card, and its rule."""

    card: ModelCard
    rule: Rule


class Catalogue(Protocol):
    """Which version of which model is in use."""

    async def candidates(self) -> Sequence[Candidate]:
        """The models in use, by name, each with its rule. A passing fault: the catalogue does not answer."""


class Journal(Protocol):
    """The service's log."""

    def info(self, event: str, **fields: object) -> None:
        """Something happened as it should."""

    def warning(self, event: str, **fields: object) -> None:
        """Something that an operator may want to look at."""
