"""What a process and all that it has started take together: the limit of memory holds for each of them alone."""

from __future__ import annotations

from pathlib import Path

_GROUP = 2
"""Where the process group stands in /proc/<pid>/stat, counted behind the name, which may hold anything."""


def taken(group: int) -> int:
    """Bytes of a process group, what is shared counted once; 0 while it is one process, which its own limit keeps."""
    members = [folder for folder in Path("/proc").glob("[0-9]*") if _group(folder) == group]
    return sum(map(_bytes, members)) if len(members) > 1 else 0


def _group(folder: Path) -> int:
    try:
        return int((folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[_GROUP])
    except (OSError, ValueError, IndexError):  # it has ended
        return 0


def _bytes(folder: Path) -> int:
    try:
        lines = (folder / "smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)
