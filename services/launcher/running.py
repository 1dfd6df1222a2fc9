"""`plexus run`: asks for a run of a model, follows it, and says what came of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

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
    as_json: bool = False,
) -> int:
    """Ask for it, and wait; 0 if all of it completed.

    Args:
        as_json: of all that may be said, only the jobs as they ended are.

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
    telling = Console(quiet=True) if as_json else console
    for job in asked:
        if job.state.ended:
            telling.print(f"{job.id} was made before: --force makes it again", highlight=False)
        _tell_inputs(telling, edge, job)
    told: dict[str, str] = {}
    ended = {each: job for each, job in left.items() if job.state.ended}
    while len(ended) < len(left):
        for job in edge.follow(study, silence_seconds=_SILENCE_SECONDS):
            if job.id in left and job.id not in ended:
                _tell(telling, job, told)
                if job.state.ended:
                    ended[job.id] = job
            if len(ended) == len(left):
                break
    if as_json:
        print(json.dumps([asdict(job) for job in ended.values()], indent=2))
    telling.print(status.jobs(list(ended.values())), soft_wrap=not console.is_terminal)
    for job in ended.values():
        for result in job.results:
            telling.print(f"  {result.kind:<4} {edge.address_of(result)}", highlight=False, soft_wrap=True)
    return 0 if all(job.state is JobState.COMPLETED for job in ended.values()) else 1


def _tell_inputs(console: Console, edge: Edge, job: Job) -> None:
    """Which series it takes beside its own, and who chose them."""
    words = edge.offered(job) if job.inputs and not console.quiet else {}
    for one in job.inputs:
        said = f" ({words[one.series_instance_uid]})" if one.series_instance_uid in words else ""
        by = "as chosen" if one.chosen else f"by its rule; --input {one.name}=SERIES takes another one"
        console.print(
            f"  {one.name}: {one.series_instance_uid}{said}, {by}", highlight=False, markup=False, soft_wrap=True
        )


def _tell(console: Console, job: Job, told: dict[str, str]) -> None:
    """A line for each new step, and for each tenth of it."""
    tenth = f" {10 * (10 * job.done // job.total)} %" if job.total else ""
    line = f"{job.model} {job.state}" if job.state.ended else f"{job.model} {job.state}: {job.step}{tenth}"
    if told.get(job.id) != line:
        told[job.id] = line
        console.print(f"  {line}", highlight=False)
