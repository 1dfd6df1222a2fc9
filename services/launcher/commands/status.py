"""What `plexus status` and `plexus jobs` print."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.table import Table

from services.launcher import registry
from services.launcher.commands import tables
from services.launcher.edge import Job, JobState
from services.launcher.state import PartPhase, State

_PHASE_STYLES = {PartPhase.READY: "green", PartPhase.CRASHED: "red", PartPhase.FAILED: "red"}
_JOB_STYLES = {JobState.COMPLETED: "green", JobState.FAILED: "red", JobState.CANCELLED: "yellow"}
_MIB = 1024


def parts(told: State) -> Table:
    """Every part: state, process, ports, since when, restarts, memory."""
    headings = ("part", "state", "zone", "pid", "ports", "up", "restarts", "memory")
    table = tables.plain(*headings, right=("pid", "up", "restarts", "memory"))
    for name, part in told.parts.items():
        entry = registry.BY_NAME[name]
        ports = " ".join(f"{port.name.removeprefix(name + '_')}:{told.ports[port.name]}" for port in entry.ports)
        table.add_row(
            name,
            f"[{_PHASE_STYLES.get(part.phase, 'yellow')}]{part.phase}[/]",
            str(entry.zone),
            str(part.pid or ""),
            ports,
            _ago(part.since_unix),
            str(part.restarts or ""),
            f"{memory_kib(part.pid) // _MIB} MB" if part.pid else "",
        )
    return table


def jobs(found: Sequence[Job]) -> Table:
    """Jobs, as the edge tells them; the reason is a column where there is one to tell."""
    reasons = any(job.reason_code or job.left_out for job in found)
    headings = ("job", "model", "state", "step", "requested", *(["reason"] if reasons else []))
    table = tables.plain(*headings, whole=("job",))
    for job in found:
        progress = f"{job.step} {job.done}/{job.total}" if job.total and not job.state.ended else job.step
        reason = f"{job.reason_code}: {job.reason}" if job.reason_code else without(job)
        table.add_row(
            job.id,
            f"{job.model} {job.model_version}",
            f"[{_JOB_STYLES.get(job.state, 'yellow')}]{job.state}[/]",
            progress,
            job.requested_at[:19].replace("T", " "),
            *([reason] if reasons else []),
        )
    return table


def without(job: Job) -> str:
    """What a job could not make beside its results, and why."""
    return "; ".join(f"without {one.kind}: {one.reason}" for one in job.left_out)


def memory_kib(pid: int) -> int:
    """The resident memory of a process and of those it has started, in KiB; 0 when it is gone."""
    total = 0
    for each in _family(pid):
        try:
            status = Path(f"/proc/{each}/status").read_text()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")), 0)
    return total


def _family(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        try:
            children = Path(f"/proc/{each}/task/{each}/children").read_text()
        except OSError:
            continue
        found += [int(child) for child in children.split()]
    return found


def _ago(since: float | None) -> str:
    if since is None:
        return ""
    seconds = int(time.time() - since)
    hours, rest = divmod(seconds, 3600)
    return f"{hours} h {rest // 60} min" if hours else f"{rest // 60} min {rest % 60} s" if rest >= 60 else f"{rest} s"
