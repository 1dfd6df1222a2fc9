"""Quarantine: pictures that wait for a person, and the jobs that wait for the pictures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from services.anonymise.burned_in.model import Box, Finding

STEP = "quarantine"
"""Of a job that waits, in worklist's words."""


class State(StrEnum):
    """Where a picture is."""

    WAITING = "waiting"
    RELEASED = "released"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    """Every job that waited for it was cancelled before anybody decided."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture in quarantine. A decision is about its pixels, whatever job asks, and may be changed for later jobs.

    Attributes:
        number: names it for people.
        masks: of a released one, what is masked in every frame.
        decided_by: who; empty while nobody has.
        decided_at: when, or when it was withdrawn.
        jobs: those that wait for it.
    """

    number: int
    finding: Finding
    state: State
    held_at: datetime
    masks: tuple[Box, ...] = ()
    decided_by: str = ""
    decided_at: datetime | None = None
    jobs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """A job that waits: so many of its pictures are decided."""

    job_id: str
    decided: int
    total: int


def fitting(masks: Iterable[Box], finding: Finding) -> tuple[Box, ...]:
    """Masks that lie in the picture, each once.

    Raises:
        ValueError: one does not, or is empty.
    """
    kept = tuple(dict.fromkeys(masks))
    for box in kept:
        if box.width <= 0 or box.height <= 0 or not (0 <= box.x < finding.columns and 0 <= box.y < finding.rows):
            raise ValueError("a mask does not lie in the picture")
    return kept
