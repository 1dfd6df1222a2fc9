"""A trace as a tree: from span files to what `plexus trace` prints.

Siblings of one name are told as one line. The short form leaves out the carriers (a call and its answer, a message said
and heard) and keeps the work that they connect; the long form and JSON have all.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.table import Table
from rich.text import Text

from services.contracts import telemetry
from services.launcher.spans import Span

_CARRIERS = ("client", "server", "producer", "consumer")
_WORK = {value for name, value in vars(telemetry).items() if name.startswith("SPAN_")}
_NARROW = 118
_TELL_SINGLY = 3
"""As many siblings of one name are still told one by one."""


@dataclass(frozen=True, slots=True)
class Node:
    """One span, or several siblings of the same name and service told as one."""

    spans: tuple[Span, ...]
    children: tuple[Node, ...]

    @property
    def name(self) -> str:
        """The name that all of them have."""
        return self.spans[0].name

    @property
    def service(self) -> str:
        """The service that all of them are of."""
        return self.spans[0].service

    @property
    def start_ns(self) -> int:
        """When the first began."""
        return min(span.start_unix_ns for span in self.spans)

    @property
    def end_ns(self) -> int:
        """When the last ended."""
        return max(span.end_unix_ns for span in self.spans)

    @property
    def failures(self) -> int:
        """How many ended with an error."""
        return sum(span.failed for span in self.spans)


def tree(spans: Iterable[Span]) -> list[Node]:
    """The roots of a trace. A span whose parent was never written is a root too: nothing is hidden."""
    known = {span.span_id: span for span in spans}
    children: dict[str | None, list[Span]] = {}
    for span in known.values():
        parent = span.parent_span_id if span.parent_span_id in known else None
        children.setdefault(parent, []).append(span)
    return _nodes(children.get(None, []), children)


def as_json(nodes: Sequence[Node]) -> list[dict[str, Any]]:
    """The same tree for programs: times in milliseconds from the first span."""
    origin = min((node.start_ns for node in nodes), default=0)
    return [_as_json(node, origin) for node in nodes]


def without_carriers(spans: Iterable[Span]) -> list[Span]:
    """The spans of work, each under the work that led to it. What failed stays."""
    known = {span.span_id: span for span in spans}
    kept = {key: span for key, span in known.items() if not _is_carrier(span)}
    return [replace(span, parent_span_id=_kept_ancestor(span, known, kept)) for span in kept.values()]


def table(nodes: Sequence[Node], width: int) -> Table:
    """The tree for people: what, in which service, when it began, how long it took."""
    narrow = width < _NARROW
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_edge=False, header_style="dim")
    grid.add_column("span", no_wrap=True, overflow="ellipsis")
    grid.add_column("service", style="cyan", no_wrap=True, min_width=9)
    grid.add_column("start", justify="right", no_wrap=True, style="dim", min_width=8)
    grid.add_column("time", justify="right", no_wrap=True, min_width=7)
    if not narrow:
        grid.add_column("of several", no_wrap=True, style="dim", min_width=36)
    origin = min((node.start_ns for node in nodes), default=0)
    for guide, below, node in _walk(nodes, ""):
        title = Text(guide, style="dim")
        title.append(node.name, style="bold red" if node.failures else "default")
        if len(node.spans) > 1:
            title.append(f" ×{len(node.spans)}", style="yellow")
        if node.failures:
            title.append(f"  ✗ {node.failures if len(node.spans) > 1 else ''}".rstrip(), style="red")
        times = (f"+{duration(node.start_ns - origin)}", duration(node.end_ns - node.start_ns))
        several = _several(node)
        grid.add_row(title, node.service, *times, *([] if narrow else [several]))
        if narrow and several:
            grid.add_row(Text(f"{below}  {several}", style="dim"))
    return grid


def duration(nanoseconds: float) -> str:
    """A time for people, with three digits or so."""
    milliseconds = nanoseconds / 1e6
    if not milliseconds:
        return "0 ms"
    if milliseconds < 1:
        return f"{milliseconds:.2f} ms"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    return f"{milliseconds / 1000:.2f} s"


def _nodes(spans: list[Span], children: dict[str | None, list[Span]]) -> list[Node]:
    alike: dict[tuple[str, str], list[Span]] = {}
    for span in spans:
        alike.setdefault((span.service, span.name), []).append(span)
    nodes = []
    for group in alike.values():
        for together in [group] if len(group) > _TELL_SINGLY else [[span] for span in group]:
            below = [child for span in together for child in children.get(span.span_id, ())]
            nodes.append(Node(tuple(together), tuple(_nodes(below, children))))
    return sorted(nodes, key=lambda node: node.start_ns)


def _walk(nodes: Sequence[Node], indent: str, *, depth: int = 0) -> Iterator[tuple[str, str, Node]]:
    """Each node with the lines before its name, and those before what stands below it."""
    for position, node in enumerate(nodes):
        last = position == len(nodes) - 1
        alone = depth == 0 and len(nodes) == 1
        guide = "" if alone else indent + ("└─ " if last else "├─ ")
        below = "" if alone else indent + ("   " if last else "│  ")
        yield guide, below + ("│" if node.children else ""), node
        yield from _walk(node.children, below, depth=depth + 1)


def _is_carrier(span: Span) -> bool:
    return span.kind in _CARRIERS and span.name not in _WORK and not span.failed


def _kept_ancestor(span: Span, known: Mapping[str, Span], kept: Mapping[str, Span]) -> str | None:
    seen = {span.span_id}
    parent = span.parent_span_id
    while parent is not None and parent not in kept and parent not in seen:
        seen.add(parent)
        above = known.get(parent)
        parent = above.parent_span_id if above is not None else None
    return parent if parent in kept else None


def _several(node: Node) -> str:
    if len(node.spans) == 1:
        return ""
    times = [span.duration_ns for span in node.spans]
    return f"Σ {duration(sum(times))}  p50 {duration(statistics.median(times))}  max {duration(max(times))}"


def _as_json(node: Node, origin: int) -> dict[str, Any]:
    times = [span.duration_ns / 1e6 for span in node.spans]
    return {
        "name": node.name,
        "service": node.service,
        "count": len(node.spans),
        "failures": node.failures,
        "start_ms": round((node.start_ns - origin) / 1e6, 3),
        "wall_ms": round((node.end_ns - node.start_ns) / 1e6, 3),
        "sum_ms": round(sum(times), 3),
        "p50_ms": round(statistics.median(times), 3),
        "max_ms": round(max(times), 3),
        "children": [_as_json(child, origin) for child in node.children],
    }
