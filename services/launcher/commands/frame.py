"""What groups of commands have in common: how one is made of a function, and the options that say which mesh is meant.

A group's `commands(command, running, console)` makes its commands by `command`, asks `running` for the mesh that is up,
and tells on `console`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from services.launcher.mesh import Mesh

Wrap = Callable[[Callable[..., int | None]], Callable[..., None]]
"""Makes a command of a function."""
Running = Callable[[Path | None, int | None], "Mesh"]
"""Gives the mesh that is up, of a data folder and a port offset."""

Data = Annotated[Path | None, typer.Option("--data", help="The data folder (PLEXUS_DATA).")]
Offset = Annotated[int | None, typer.Option("--port-offset", help="Added to every default port.")]
