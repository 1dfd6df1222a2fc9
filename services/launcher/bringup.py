"""Setting up and starting, with a live line for each step and part: what `up`, `demo` and `test` have in common."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from rich.console import Console

from services.launcher.board import Board, Mark, Row
from services.launcher.errors import SetupError
from services.launcher.mesh import Mesh
from services.launcher.setup import triton, viewer
from services.launcher.setup.steps import Step
from services.launcher.state import PartPhase, PartState, State

_MARKS = {
    PartPhase.WAITING: Mark.WAITING,
    PartPhase.STARTING: Mark.BUSY,
    PartPhase.READY: Mark.DONE,
    PartPhase.CRASHED: Mark.FAILED,
    PartPhase.STOPPING: Mark.BUSY,
    PartPhase.STOPPED: Mark.DONE,
    PartPhase.FAILED: Mark.FAILED,
}


def set_up(console: Console) -> None:
    """Fetches what is missing beside the Python packages; says nothing when all is there.

    Raises:
        SetupError: something that the mesh cannot do without could not be had.
    """
    missing = [step for step in (triton.step(), viewer.step()) if not step.done()]
    if not missing:
        return
    with Board(console) as board, ThreadPoolExecutor(len(missing)) as pool:
        errors = list(pool.map(lambda step: _make(step, board), missing))
    for step, error in zip(missing, errors, strict=True):
        if error is not None and not step.optional:
            raise error
        if error is not None:
            console.print(f"  {error}", style="yellow", markup=False)


def start(mesh: Mesh, console: Console, *, stay: bool) -> None:
    """Starts a mesh and shows how each part becomes ready."""
    with Board(console) as board:
        mesh.up(lambda told: board.show(*_rows(told)), stay=stay)


def stop(mesh: Mesh, console: Console) -> None:
    """Stops a mesh and shows how each part ends. Another Ctrl-C on the way changes nothing."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Board(console) as board:
            # in the order in which they end: what is needed most, last
            mesh.down(lambda told: board.show(*reversed(_rows(told, stopping=True))))
    finally:
        signal.signal(signal.SIGINT, before)


def _make(step: Step, board: Board) -> SetupError | None:
    began = time.monotonic()
    board.show(Row(step.title, Mark.BUSY, "being fetched"))
    try:
        step.make()
    except SetupError as error:
        board.show(Row(step.title, Mark.FAILED))
        return error
    board.show(Row(step.title, Mark.DONE, f"{time.monotonic() - began:.1f} s"))
    return None


def _rows(told: State, *, stopping: bool = False) -> Sequence[Row]:
    return [Row(name, _mark(part, stopping), _text(part, stopping)) for name, part in told.parts.items()]


def _mark(part: PartState, stopping: bool) -> Mark:
    return Mark.WAITING if stopping and part.phase is PartPhase.READY else _MARKS[part.phase]


def _text(part: PartState, stopping: bool) -> str:
    if stopping:
        return str(part.phase)
    if part.phase is PartPhase.READY:
        return f"{part.start_seconds:.1f} s" if part.start_seconds is not None else ""
    return str(part.phase) + (f", start {part.restarts + 1}" if part.restarts else "")
