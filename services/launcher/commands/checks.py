"""`plexus test`: format, lint, types, import contracts, generated code, and the whole test suite."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from services.launcher.errors import SetupError
from services.launcher.parts.program import BIN
from services.launcher.settings import REPOSITORY
from services.launcher.setup import debian

_PROGRAMS = {"storescu": "dcmtk", "dcm2json": "dcmtk", "dciodvfy": "dicom3tools", "chromium": "chromium"}
"""Programs that the tests use, and the Debian packages that have them."""

_CHECKS = (
    ("format", ("ruff", "format", "--check", ".")),
    ("lint", ("ruff", "check", ".")),
    ("types", ("mypy",)),
    ("import contracts", ("lint-imports",)),
    ("conformance statement", ("python", "docs/tables.py", "--check")),
)

_TOGETHER = ("--numprocesses=2", "--no-loadscope-reorder")
"""Much of the suite waits for processes: two halves side by side take little more than half the time on two cores."""


def ensure_programs() -> None:
    """Installs the Debian packages of the tests where they are missing.

    Raises:
        SetupError: we are not root; names the command.
    """
    # without the virtual environment's own folder: pynetdicom has programs of the same names
    path = os.pathsep.join(folder for folder in os.get_exec_path() if Path(folder) != BIN)
    missing = {package for program, package in _PROGRAMS.items() if shutil.which(program, path=path) is None}
    if missing:
        debian.install(sorted(missing), needed_for="the test suite")


def run(console: Console, pytest_arguments: Sequence[str]) -> bool:
    """Runs every check and then pytest, whose closing line comes last; whether all passed."""
    failed = [name for name, command in _CHECKS if not _check(console, name, (str(BIN / command[0]), *command[1:]))]
    generate = str(REPOSITORY / "proto" / "generate.sh")
    if not _check(console, "generated code", (generate, "--check")):
        failed.append("generated code")
    console.print()
    tests = subprocess.run([sys.executable, "-m", "pytest", *_TOGETHER, *pytest_arguments], cwd=REPOSITORY, check=False)
    if failed:
        console.print(f"✗ failed before the tests: {', '.join(failed)}", style="red")
    return tests.returncode == 0 and not failed


def _check(console: Console, name: str, command: Sequence[str]) -> bool:
    began = time.monotonic()
    try:
        with console.status(name):
            done = subprocess.run(
                command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
            )
    except OSError as error:
        raise SetupError(f"{command[0]} cannot be run ({error.strerror}); run ./plexus test") from None
    took = f"{time.monotonic() - began:.1f} s"
    if done.returncode == 0:
        console.print(f"[green]✓[/] {name}  [dim]{took}[/]")
        return True
    console.print(f"[red]✗[/] {name}  [dim]{took}[/]")
    print(done.stdout)
    return False
