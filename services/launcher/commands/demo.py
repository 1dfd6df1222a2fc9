"""`plexus demo`: one chest CT goes in by C-STORE; what happens to it is shown live, and what came of it at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from services.launcher import scu, spans
from services.launcher.board import Board, Mark, Row
from services.launcher.commands import findings, tables, trace
from services.launcher.edge import Edge, Job, JobState
from services.launcher.errors import LauncherError
from services.launcher.mesh import Mesh
from services.launcher.settings import HOST, REPOSITORY
from services.launcher.setup import viewer

SAMPLE = REPOSITORY / "tests" / "data" / "ct-chest-cmb"

_SILENCE_SECONDS = 3.0
_DEADLINE_SECONDS = 300.0
_UNITS = {"1": "", "[hnsf'U]": "HU"}
"""What people write for a UCUM code."""
_STEPS = ("de-identified", "inferred", "encoded", "stored")
_STORING = "store"
"""The step that encode names while its results go through the front door: they are encoded then."""


def run(mesh: Mesh, console: Console, sample: Path = SAMPLE) -> bool:
    """Sends the sample, follows its jobs and shows what came of them; whether every job was completed.

    Raises:
        LauncherError: the sample could not be sent, or nothing came of it in time.
    """
    files = scu.find([sample]).files
    if not files:
        raise LauncherError(f"there is no DICOM file in {sample}")
    study = files[0].study_instance_uid
    with Edge(mesh.url("edge")) as edge:
        jobs = edge.jobs(study=study)
        if jobs:
            console.print("This study was sent before: nothing is sent again; here is what came of it.", style="yellow")
        with Board(console) as board:
            if not jobs:
                _send(files, mesh, board)
            jobs = _follow(edge, study, board)
        for job in sorted(jobs, key=lambda job: job.model):
            _tell(job, edge, console)
    _tell_trace(jobs, mesh, console)
    _tell_links(jobs, mesh.url("edge"), study, console)
    return all(job.state is JobState.COMPLETED for job in jobs)


def _send(files: Sequence[scu.File], mesh: Mesh, board: Board) -> None:
    stored = 0
    board.show(Row("received", Mark.BUSY, f"0/{len(files)}"))
    began = time.monotonic()
    port = int(mesh.address("dimse").rsplit(":", 1)[1])
    for sent in scu.send(files, HOST, port):
        if not sent.stored:
            board.show(Row("received", Mark.FAILED, f"{stored}/{len(files)}"))
            code = "no status" if sent.status is None else f"status {sent.status:04X}"
            raise LauncherError(f"{sent.path.name} was not stored: {code}, {sent.reason}")
        stored += 1
        board.show(Row("received", Mark.BUSY, f"{stored}/{len(files)}"))
    board.show(Row("received", Mark.DONE, f"{stored}/{len(files)}  {time.monotonic() - began:.1f} s by C-STORE"))


def _follow(edge: Edge, study: str, board: Board) -> list[Job]:
    """Shows the jobs of a study until all have ended."""
    began = time.monotonic()
    board.show(Row("settled", Mark.BUSY, "waits whether more comes"))
    while time.monotonic() - began < _DEADLINE_SECONDS:
        jobs = edge.jobs(study=study)
        for job in reversed(jobs):
            _show(job, board)
        if jobs and all(job.state.ended for job in jobs):
            return jobs
        # the events, while they come; then all jobs again, for an event may be lost
        ended = 0
        for job in edge.follow(study, silence_seconds=_SILENCE_SECONDS):
            _show(job, board)
            ended += job.state.ended
            if ended and ended >= len(jobs):
                break
    raise LauncherError(f"no result after {_DEADLINE_SECONDS:.0f} s; look at ./plexus jobs and ./plexus status")


def _show(job: Job, board: Board) -> None:
    board.show(Row("settled", Mark.DONE, f"revision {job.revision}"))
    title = f"{job.model} {job.model_version}"
    if job.state is JobState.FAILED or job.state is JobState.CANCELLED:
        board.show(Row(f"{title} {job.state}", Mark.FAILED, job.reason))
        return
    reached = _reached(job)
    for position, name in enumerate(_STEPS):
        if position < reached:
            board.show(Row(f"{title} {name}", Mark.DONE))
        elif position == reached:
            progress = f"{job.step} {job.done}/{job.total}" if job.total else job.step
            board.show(Row(f"{title} {name}", Mark.BUSY, progress))
        else:
            board.show(Row(f"{title} {name}", Mark.WAITING))


def _reached(job: Job) -> int:
    """How many of the steps are behind a job."""
    match job.state:
        case JobState.WAITING | JobState.CLAIMED | JobState.REQUESTED:
            return 0
        case JobState.RELEASED:
            return 1
        case JobState.INFERRED:
            return 3 if job.step == _STORING else 2
        case _:
            return len(_STEPS)


def _tell(job: Job, edge: Edge, console: Console) -> None:
    console.print()
    if job.state is not JobState.COMPLETED:
        console.print(f"{job.model} {job.model_version}: job {job.id} {job.state}", style="bold red")
        console.print(f"  {job.reason_code}: {job.reason}")
        return
    console.print(f"{job.model} {job.model_version}", style="bold", end="")
    console.print("  (research and demonstration, not for clinical use)", style="dim")
    for result in job.results:
        if result.kind == "SR":
            console.print(_table(findings.read(edge.instance(result))))
    console.print(f"job {job.id}", highlight=False, style="dim")


def _tell_trace(jobs: Sequence[Job], mesh: Mesh, console: Console) -> None:
    """The traces of the jobs: one for all of a study that came in one association."""
    for trace_id in dict.fromkeys(job.trace_id for job in jobs if job.trace_id):
        found = trace.without_carriers(spans.settled(mesh.settings.spans, trace_id))
        console.print(
            f"\n[bold]trace[/] {trace_id}  [dim](with calls and messages: ./plexus trace --all …)[/]", highlight=False
        )
        console.print(trace.table(trace.tree(found), console.width))


def _tell_links(jobs: Sequence[Job], edge: str, study: str, console: Console) -> None:
    """Where OHIF shows the study: by a job's link with its segmentation over the images."""
    link = f"{edge}/viewer?StudyInstanceUIDs={study}"
    segmentations = {
        job.model: result.series_instance_uid for job in jobs for result in job.results if result.kind == "SEG"
    }
    console.print("\nOpen the study in OHIF:", style="bold")
    if not viewer.is_there():
        console.print("  The viewer is missing: it needs Node. Install it and run ./plexus up again.", style="yellow")
    for model, series in sorted(segmentations.items()):
        console.print(f"  with {model}:", style="dim")
        console.print(f"  {link}&initialSeriesInstanceUID={series}", soft_wrap=True, highlight=False)
    if not segmentations:
        console.print(f"  {link}", soft_wrap=True, highlight=False)


def _table(found: Sequence[findings.Finding]) -> Table:
    table = tables.plain("finding")
    columns = list(dict.fromkeys((m.name, m.unit) for finding in found for m in finding.measurements))
    for name, unit in columns:
        table.add_column(f"{escape(name)}\n{escape(_UNITS.get(unit, unit))}", justify="right")
    for finding in found:
        values = {
            (m.name, m.unit): f"{m.value:,.4g}" if abs(m.value) < 1 else f"{m.value:,.1f}" for m in finding.measurements
        }
        table.add_row(finding.label, *(values.get(column, "") for column in columns))
    return table
