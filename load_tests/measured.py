"""Figures, and tables of them: the median of some rounds, and ratios to a peer of the same rounds."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections import defaultdict
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Better(StrEnum):
    """Which way is better."""

    MORE = "more"
    LESS = "less"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement.

    Attributes:
        work: what was done, in words.
        server: by whom.
        value: in `unit`.
    """

    work: str
    server: str
    value: float
    unit: str
    better: Better = Better.MORE


@dataclass(frozen=True, slots=True)
class Target:
    """At least `ratio` times as good as `peer`, and not worse than `value` where that is set."""

    ratio: float | None
    peer: str
    value: float | None = None


class Report:
    """All figures of a run."""

    def __init__(self, targets: dict[str, Target]) -> None:
        self._targets = targets
        self._figures: dict[tuple[str, str], list[Figure]] = defaultdict(list)

    def add(self, *figures: Figure) -> None:
        """Add what one round has given."""
        for figure in figures:
            self._figures[figure.work, figure.server].append(figure)

    def median(self, work: str, server: str) -> Figure | None:
        """The figure in the middle of the rounds."""
        found = self._figures.get((work, server))
        if not found:
            return None
        value = statistics.median(each.value for each in found)
        return Figure(work, server, value, found[0].unit, found[0].better)

    @property
    def works(self) -> list[str]:
        """What was measured, in order."""
        return list(dict.fromkeys(work for work, _ in self._figures))

    @property
    def servers(self) -> list[str]:
        """Who was measured, in order."""
        return list(dict.fromkeys(server for _, server in self._figures))

    def ratio(self, work: str, server: str, peer: str) -> float | None:
        """How many times as good a server is as its peer: the median over the rounds, each against its own round."""
        ours, theirs = self._figures.get((work, server), []), self._figures.get((work, peer), [])
        pairs = [(a.value, b.value) for a, b in zip(ours, theirs, strict=False) if a.value and b.value]
        if not pairs:
            return None
        more = ours[0].better is Better.MORE
        return statistics.median(a / b if more else b / a for a, b in pairs)

    def markdown(self) -> str:
        """A table: a row a work."""
        servers = self.servers
        lines = [
            "| work | " + " | ".join(servers) + " | ratio | target | |",
            "|---|" + "---:|" * len(servers) + "---:|---:|---|",
        ]
        for work in self.works:
            cells = [_cell(self.median(work, server)) for server in servers]
            lines.append(f"| {work} | {' | '.join(cells)} | {self._verdict(work)} |")
        return "\n".join(lines)

    def _verdict(self, work: str) -> str:
        target = self._targets.get(work)
        peer = target.peer if target else "orthanc"
        ratio = self.ratio(work, "plexus", peer)
        shown = f"{ratio:.1f} × {peer}" if ratio is not None else "–"
        if target is None:
            return f"{shown} | |"
        ours = self.median(work, "plexus")
        wanted = [f"≥ {target.ratio:g} ×"] if target.ratio else []
        held = ours is not None
        if target.ratio:
            held = held and ratio is not None and ratio >= target.ratio
        if target.value and ours:
            more = ours.better is Better.MORE
            wanted.append(f"{'≥' if more else '≤'} {target.value:g} {ours.unit}")
            held = held and (ours.value >= target.value if more else ours.value <= target.value)
        return f"{shown} | {', '.join(wanted)} | {'✓' if held else '✗'}"

    def json(self) -> str:
        """Everything, for programs."""
        what: dict[str, Any] = {
            "machine": {"cores": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()},
            "load_average": os.getloadavg(),
            "figures": [asdict(figure) for found in self._figures.values() for figure in found],
            "targets": {work: asdict(target) for work, target in self._targets.items()},
        }
        return json.dumps(what, indent=1)


def _cell(figure: Figure | None) -> str:
    if figure is None:
        return "–"
    digits = 0 if figure.value >= 100 else 1 if figure.value >= 10 else 2
    return f"{figure.value:.{digits}f} {figure.unit}"
