"""DCMTK's `storescu` as a sender, several at once."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from load_tests.lean import BadAnswer


def send(folder: Path, port: int, ae_title: str, *, associations: int = 1) -> float:
    """Send the files of a folder, shared out over so many associations at once; gives instances a second.

    Raises:
        BadAnswer: a sender reports a failure.
    """
    files = sorted(folder.iterdir())
    commands = [
        [
            "storescu",
            "-R",
            "-pdu",
            "131072",
            "-aec",
            ae_title,
            "127.0.0.1",
            str(port),
            *map(str, files[at::associations]),
        ]
        for at in range(associations)
    ]
    began = time.perf_counter()
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for command in commands]
    for each in running:
        _, errors = each.communicate()
        if each.returncode:
            raise BadAnswer(f"storescu: {errors.decode(errors='replace')[-200:]}")
    return len(files) / (time.perf_counter() - began)
