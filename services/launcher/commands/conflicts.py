"""`plexus conflicts`: other bytes that came under a SOP Instance UID which was taken, for a person to decide about."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer
from rich.console import Console
from rich.table import Table

from services.launcher.commands import tables
from services.launcher.commands.frame import Data, Offset, Running, Wrap
from services.launcher.errors import EdgeError, LauncherError

_SECONDS: Final = 120
_SHORT: Final = 12

Digest = Annotated[str, typer.Argument(help="The digest, or its beginning, as `plexus conflicts list` shows it.")]


def commands(command: Wrap, running: Running, console: Console) -> typer.Typer:
    """The commands; see `frame`."""
    app = typer.Typer(help="Objects that came under a SOP Instance UID which was taken.", no_args_is_help=True)

    @app.command("list")
    @command
    def list_(data: Data = None, port_offset: Offset = None) -> None:
        """List them, newest first."""
        found = asked(running(data, port_offset).url("edge"), "GET", "/conflicts").json()
        if found:
            console.print(table(found), soft_wrap=not console.is_terminal)
        else:
            console.print("There are no conflicts.")

    @app.command()
    @command
    def save(digest: Digest, output: Path, data: Data = None, port_offset: Offset = None) -> None:
        """Write one into a file, to compare it with what is served."""
        edge = running(data, port_offset).url("edge")
        output.write_bytes(asked(edge, "GET", one(edge, digest)["file"]).content)
        console.print(f"{output} written")

    @app.command()
    @command
    def accept(digest: Digest, data: Data = None, port_offset: Offset = None) -> None:
        """Serve it from now on; what was served becomes evidence in its turn."""
        edge = running(data, port_offset).url("edge")
        asked(edge, "POST", f"{one(edge, digest)['file']}/accept")
        console.print("It is served now; the other one is in the list.")

    @app.command()
    @command
    def dismiss(digest: Digest, data: Data = None, port_offset: Offset = None) -> None:
        """Let go of it."""
        edge = running(data, port_offset).url("edge")
        asked(edge, "DELETE", one(edge, digest)["file"])
        console.print("It is gone.")

    return app


def table(found: list[dict[str, Any]]) -> Table:
    """The list for a person."""
    headings = ("digest", "came", "times", "bytes", "was served", "SOP Instance UID")
    shown = tables.plain(*headings, whole=headings)
    for each in found:
        shown.add_row(
            each["digest"][:_SHORT],
            each["first_seen_at"][:19].replace("T", " "),
            str(each["times"]),
            str(each["bytes"]),
            "yes" if each["was_served"] else "no",
            each["SOPInstanceUID"],
        )
    return shown


def one(edge: str, digest: str) -> dict[str, Any]:
    """The one whose digest begins so.

    Raises:
        LauncherError: there is none, or there are several.
    """
    listed = asked(edge, "GET", "/conflicts?limit=1000").json()
    found: list[dict[str, Any]] = [each for each in listed if each["digest"].startswith(digest.lower())]
    if len(found) != 1:
        raise LauncherError(f"{len(found) or 'no'} conflicts have a digest that begins with {digest}")
    return found[0]


def asked(edge: str, method: str, path: str) -> httpx.Response:
    """What the mesh answers.

    Raises:
        EdgeError: it does not, or not well.
    """
    try:
        answer = httpx.request(method, f"{edge}{path}", timeout=_SECONDS)
    except httpx.TransportError:
        raise EdgeError(f"the edge at {edge} does not answer; see ./plexus status") from None
    if not answer.is_success:
        raise EdgeError(f"conflicts answered {answer.status_code}")
    return answer
