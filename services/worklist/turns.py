"""Whose turn it is, when more jobs wait than the mesh takes at once.

By priority; of the same priority the sender with the fewest jobs in work; then by age. A job that has waited long
counts as of the next higher priority, but not as urgent: what is urgent comes first, however much has waited long. So
that nothing waits for ever, one place is left for which what has waited long counts as much as what is urgent.
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


InWork = Mapping[tuple[str, Priority], int]
"""How many jobs of each priority each sender has in work."""


def pick(waiting: Sequence[Waiting], in_work: InWork, at: datetime, rules: Rules) -> list[str]:
    """The jobs that may start now."""
    busy: Counter[str] = Counter()
    urgent = 0
    for (sender, priority), jobs in in_work.items():
        busy[sender] += jobs
        urgent += jobs if priority is Priority.HIGH else 0
    left = list(waiting)
    picked: list[str] = []
    while left and busy.total() < rules.most:
        first = urgent < max(rules.most - 1, 1)
        ranks = {job.id: -1 if first and job.priority is Priority.HIGH else _rank(job, at, rules) for job in left}
        turn = min(left, key=lambda job: (ranks[job.id], busy[job.sender], job.position))
        left.remove(turn)
        busy[turn.sender] += 1
        urgent += turn.priority is Priority.HIGH
        picked.append(turn.id)
    return picked


def _rank(job: Waiting, at: datetime, rules: Rules) -> int:
    return max(job.priority.rank - int((at - job.since) / rules.patience), 0)
