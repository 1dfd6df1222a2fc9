"""Debian packages: installed when we are root, otherwise the one command to run is named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence

from services.launcher.errors import SetupError
from services.launcher.setup import steps


def install(packages: Sequence[str], *, needed_for: str) -> None:
    """Installs packages.

    Raises:
        SetupError: we are not root, or this is no Debian; names the command.
    """
    command = f"apt-get install -y --no-install-recommends {' '.join(packages)}"
    if shutil.which("apt-get") is None:
        raise SetupError(f"{needed_for} needs what Debian has in: {' '.join(packages)}; install that and try again")
    if os.geteuid() != 0:
        raise SetupError(f"{needed_for} needs Debian packages; run:  sudo {command}")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    steps.run("apt-get update", ["apt-get", "update", "-q"], environment=quiet)
    steps.run(f"installing {' '.join(packages)}", command.split(), environment=quiet)
