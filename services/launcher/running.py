"""`plexus run`: asks for a run of a model, follows it, and says what came of it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from services.launcher import status
from services.launcher.edge import Edge, Job, JobState
from services.launcher.errors import LauncherError

_SILENCE_SECONDS = 60.0
_PRIORITIES = {"stat": "HIGH", "high": "HIGH", "routine": "MEDIUM", "medium": "MEDIUM", "low": "LOW"}


def run(  # what a run may say
    console: Console,
    edge: Edge,
    model: str,
    study: str,
    *,
    series: str = "",
    priority: str = "routine",
    deadline: str = "",
    force: bool = False,
    inputs: Sequence[str] = (),
) -> int:
    """Ask for it, and wait; 0 if all of it completed.

    Raises:
        LauncherError: the priority is none, an input is not NAME=SERIES, or the mesh refuses.
    """
    if priority.lower() not in _PRIORITIES:
        raise LauncherError(f"a priority is one of {', '.join(_PRIORITIES)}")
    if any("=" not in one for one in inputs):
        raise LauncherError("an input is NAME=SERIES, such as prior=1.2.3")
    wish = {"model": model, "study": study, "series": series, "priority": _PRIORITIES[priority.lower()], "force": force}
    named = dict(one.split("=", 1) for one in inputs)
    asked = edge.run(wish | ({"deadline": deadline} if deadline else {}) | ({"inputs": named} if named else {}))
    left = {job.id: job for job in asked}
    for job in asked:
        if job.state.ended:
            console.print(f"{job.id} was made before: --force makes it again", highlight=False)
    told: dict[str, str] = {}
    ended = {each: job for each, job in left.items() if job.state.ended}
    while len(ended) < len(left):
        for job in edge.follow(study, silence_seconds=_SILENCE_SECONDS):
            if job.id in left and job.id not in ended:
                _tell(console, job, told)
                if job.state.ended:
                    ended[job.id] = job
            if len(ended) == len(left):
                break
    console.print(status.jobs(list(ended.values())), soft_wrap=not console.is_terminal)
    for job in ended.values():
        for result in job.results:
            console.print(f"  {result.kind:<4} {edge.address_of(result)}", highlight=False, soft_wrap=True)
    return 0 if all(job.state is JobState.COMPLETED for job in ended.values()) else 1


def _tell(console: Console, job: Job, told: dict[str, str]) -> None:
    """A line for each new step, and for each tenth of it."""
    tenth = f" {10 * (10 * job.done // job.total)} %" if job.total else ""
    line = f"{job.model} {job.state}" if job.state.ended else f"{job.model} {job.state}: {job.step}{tenth}"
    if told.get(job.id) != line:
        told[job.id] = line
        console.print(f"  {line}", highlight=False)
