"""What the worklist needs of others, named by role."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from services.contracts.card import ModelCard
from services.contracts.events import Event
from services.dicom.dicom_json import DicomJson
from services.worklist.model import Job, JobQuery
from services.worklist.turns import InWork, Waiting
from services.worklist.ups.item import WorkItem
from services.worklist.ups.reports import Report
from services.worklist.ups.searching import Search

Facts = tuple[tuple[Event, str | None], ...]
"""Facts with their message ids."""

Attributes = Mapping[str, Any]
"""A DICOM JSON object (PS3.18 F.2): tag to `{"vr": …, "Value": […]}`."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be kept and said, in one transaction: new or changed jobs, facts with their message ids, and the work
    items that are new; those that are there follow their jobs."""

    jobs: tuple[Job, ...] = ()
    facts: Facts = ()
    items: tuple[WorkItem, ...] = ()


@dataclass(frozen=True, slots=True)
class ItemDecision:
    """What comes of a request about a work item, in one transaction.

    Attributes:
        steps: the work item after each change; none where it stays as it is.
        job: its job, if that changes with it.
        reports: what is told beside the changes themselves.
        warning: text for the Warning header, or "".
    """

    steps: tuple[WorkItem, ...] = ()
    job: Job | None = None
    reports: tuple[Report, ...] = ()
    facts: Facts = ()
    warning: str = ""


class Jobs(Protocol):
    """The jobs that are kept. Deciding is alone with what it decides on: nobody changes it meanwhile."""

    async def decide_on_series(
        self, study_instance_uid: str, series_instance_uid: str, decide: Callable[[Sequence[Job]], Decision]
    ) -> Decision:
        """Keep and say what `decide` makes of the jobs of a series, oldest first. The jobs come back as kept."""

    async def decide_on_job(self, job_id: str, decide: Callable[[Job], Decision]) -> Decision | None:
        """Keep and say what `decide` makes of a job; `None` if there is none."""

    async def decide_on_waiting(
        self,
        at: datetime,
        most: int,
        pick: Callable[[Sequence[Waiting], InWork], Sequence[str]],
        decide: Callable[[Job], Decision],
    ) -> Sequence[Job]:
        """Keep and say what `decide` makes of the waiting jobs that `pick` picks, by what is in work.

        Args:
            at: the time; what may not begin yet is left.
            most: so many of each sender and priority are looked at, oldest first.
        """

    async def decide_on_overdue(self, at: datetime, decide: Callable[[Job], Decision]) -> Sequence[Job]:
        """Keep and say what `decide` makes of the jobs whose deadline has passed and that have not ended."""

    async def shadow_waits(self) -> bool:
        """Whether a completed job waits for its shadow, and no job of the mesh waits or is in work."""

    async def decide_on_shadow(self, decide: Callable[[Job], Decision]) -> Job | None:
        """Keep and say what `decide` makes of the oldest job that waits for its shadow, if `shadow_waits`."""

    async def get(self, job_id: str) -> Job | None:
        """The job."""

    async def find(self, query: JobQuery) -> Sequence[Job]:
        """The jobs that are asked for, newest first."""

    async def record(self, facts: Facts) -> None:
        """Say who has looked."""


class Changes(Protocol):
    """The jobs as they change, in whichever process."""

    def watch(self) -> AbstractAsyncContextManager[AsyncIterator[Sequence[Job]]]:
        """Batches of changed jobs from now on; an empty batch where there was nothing for a while."""


class WorkItems(Protocol):
    """The work items that are kept, and who is told of them."""

    async def create(self, item: WorkItem, facts: Facts) -> None:
        """Keep one that is of no job of ours.

        Raises:
            WorkItemRefusedError: there is, or was, one of this UID.
        """

    async def decide(self, uid: str, decide: Callable[[WorkItem, Job | None], ItemDecision]) -> ItemDecision:
        """Keep, say and tell what `decide` makes of a work item and its job; nobody changes them meanwhile.

        Raises:
            WorkItemRefusedError: there is none of this UID.
        """

    async def refuse(self, facts: Facts) -> None:
        """Say what was refused."""

    async def get(self, uid: str, facts: Callable[[WorkItem], Facts]) -> WorkItem:
        """A work item, once it is on record who reads it.

        Raises:
            WorkItemRefusedError: there is none of this UID, or no longer.
        """

    async def search(self, search: Search, facts: Callable[[int], Facts]) -> tuple[list[WorkItem], bool]:
        """Those that match, oldest first, and whether there are more; once it is on record who asks."""

    async def subscribe(self, uid: str, ae_title: str, facts: Facts, *, locked: bool) -> None:
        """Tell `ae_title` of a work item from now on, beginning with its state."""

    async def subscribe_all(self, worklist: str, ae_title: str, filter_: str, facts: Facts, *, locked: bool) -> None:
        """Tell `ae_title` of all work items, or of those that match, also of those to come."""

    async def unsubscribe(self, uid: str, ae_title: str, facts: Facts) -> None:
        """Tell no more of a work item; of a well-known UID: of none.

        Raises:
            WorkItemRefusedError: there is no such subscription.
        """

    async def suspend(self, worklist: str, ae_title: str, facts: Facts) -> None:
        """Tell of no new ones; those that are there are still told of.

        Raises:
            WorkItemRefusedError: there is no such subscription.
        """


class Notifications(Protocol):
    """What is told, in whichever process it came about."""

    def listen(self, ae_title: str) -> AbstractAsyncContextManager[AsyncIterator[DicomJson]]:
        """What `ae_title` is told from now on; ends when the process stops."""


@dataclass(frozen=True, slots=True)
class Series:
    """A series as it is now.

    Attributes:
        attributes: of one instance that stands for it, without bulk data.
        references: SOP class and SOP instance of each instance.
        revision: of the instance set now; 0 if it has not settled.
    """

    attributes: Attributes
    digest: str = ""
    instances: int = 0
    references: Sequence[tuple[str, str]] = ()
    revision: int = 0


class SeriesArchive(Protocol):
    """Where series lie."""

    async def describe(self, study_instance_uid: str, series_instance_uid: str) -> Series:
        """A series, without its references."""

    async def references(self, study_instance_uid: str, series_instance_uid: str) -> Sequence[tuple[str, str]]:
        """SOP class and SOP instance of each instance of a series."""

    async def series_of(self, study_instance_uid: str) -> Sequence[str]:
        """The series of a study, by their UIDs."""

    async def studies_of(self, patient_id: str) -> Sequence[Attributes]:
        """What tells of each study of a Patient ID (PS3.4 C.6.1.1), and perhaps of others whose ID is spelt alike."""

    async def study_of(self, series_instance_uid: str) -> str:
        """The study of a series; "" where there is none, or more than one."""


class Rule(Protocol):
    """A selection rule, compiled."""

    def selects(self, attributes: Attributes, instances: int) -> bool:
        """Whether the rule holds.

        Raises:
            RuleFailedError: it cannot be evaluated on this series.
        """


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that may run: its card, and its rules.

    Attributes:
        shadow: the version that runs beside it, or "". It sees the input of each completed job; of what it says there
            are no results.
        more: the rule of each further input, by its name.
    """

    card: ModelCard
    rule: Rule
    shadow: str = ""
    more: Mapping[str, Rule] = field(default_factory=dict)


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
