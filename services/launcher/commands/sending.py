"""`plexus send`: files by C-STORE, with progress, and a list of what was not stored."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from services.launcher import scu
from services.launcher.errors import LauncherError

_MOST_LISTED = 50


def run(console: Console, paths: Sequence[Path], address: str, called: str) -> int:
    """Sends what lies under `paths`; 0 when everything was stored.

    Raises:
        LauncherError: there is nothing to send, or nobody to send it to.
    """
    found = scu.find(paths)
    if not found.files and not found.refused:
        raise LauncherError("there is no DICOM file under what you named")
    failures = list(found.refused)
    host, port = address.rsplit(":", 1)
    began = time.monotonic()
    columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        for sent in progress.track(
            scu.send(found.files, host, int(port), called=called), len(found.files), description="C-STORE"
        ):
            if not sent.stored:
                failures.append(sent)
    stored = len(found.files) + len(found.refused) - len(failures)
    console.print(f"{stored} of {len(found.files) + len(found.refused)} stored in {time.monotonic() - began:.1f} s")
    for failure in failures[:_MOST_LISTED]:
        status = "----" if failure.status is None else f"{failure.status:04X}"
        console.print(f"[red]✗[/] {status}  {failure.path}  ", end="", highlight=False)
        console.print(failure.reason, markup=False, highlight=False)
    if len(failures) > _MOST_LISTED:
        console.print(f"  and {len(failures) - _MOST_LISTED} more")
    return 1 if failures else 0
