"""`plexus model lock`: a lock file of what a package's code needs, for every Python that Triton may have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from services.catalogue.environments import LOCK, lock_of
from services.chassis.faults import Fault
from services.launcher.errors import LauncherError

_OLDEST = "3.10"
"""The Python of NVIDIA's Triton image; on one machine it is 3.11 or 3.12."""


def lock(package: Path, *, python: str = "", upgrade: bool = False) -> int:
    """Make it; gives how many packages it names. Versions of an older one stay, unless they are upgraded.

    Args:
        package: its folder.
        python: for this Python alone; empty: for all that Triton may have.
        upgrade: whether to take the newest versions.

    Raises:
        LauncherError: there is no requirements.in, or what it names cannot be had as wheels.
    """
    from uv import find_uv_bin  # late: `--help` needs none of it

    source = package / "requirements.in"
    if not source.is_file():
        raise LauncherError(f"{source} is not there: name in it what the code imports, a package a line")
    command = [
        *(find_uv_bin(), "pip", "compile", "--quiet", "--python", sys.executable),  # else it looks for others
        *("--generate-hashes", "--no-emit-index-url"),
        *(("--python-version", python) if python else ("--universal", "--python-version", _OLDEST)),
        *("--only-binary", ":all:", *(["--upgrade"] if upgrade else [])),
        *(source.name, "--output-file", LOCK),
    ]
    done = subprocess.run(command, cwd=package, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LauncherError(done.stderr.strip() or f"uv ended with {done.returncode}")
    try:
        made = lock_of(package)
    except Fault as fault:
        raise LauncherError(fault.reason) from None
    return len(made.names) if made is not None else 0
