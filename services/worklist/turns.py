"""Whose turn it is, when more jobs wait than the mesh takes at once.

By priority; of the same priority the sender with the fewest jobs in work; then by age. So that nothing waits for ever,
a job that has waited long counts as of the next higher priority.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from services.worklist.model import Priority


@dataclass(frozen=True, slots=True)
class Rules:
    """How many, and how fair.

    Attributes:
        most: jobs in work at a time: requested and not yet inferred.
        patience: after so long a job counts as of the next higher priority.
    """

    most: int
    patience: timedelta


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job that waits."""

    id: str
    priority: Priority
    sender: str
    since: datetime
    position: int


def pick(waiting: Sequence[Waiting], in_work: Mapping[str, int], at: datetime, rules: Rules) -> list[str]:
    """The jobs that may start now.

    Args:
        in_work: how many jobs each sender has in work.
    """
    busy = Counter(in_work)
    left = list(waiting)
    picked: list[str] = []
    while left and busy.total() < rules.most:
        turn = min(left, key=lambda job: (_rank(job, at, rules), busy[job.sender], job.position))
        left.remove(turn)
        busy[turn.sender] += 1
        picked.append(turn.id)
    return picked


def _rank(job: Waiting, at: datetime, rules: Rules) -> int:
    return max(job.priority.rank - int((at - job.since) / rules.patience), 0)
