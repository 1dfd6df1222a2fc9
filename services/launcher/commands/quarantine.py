"""`plexus quarantine`: pictures that wait for a person. No name is shown but what a picture itself shows."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from services.launcher.commands import tables
from services.launcher.commands.frame import Data, Offset, Running, Wrap
from services.launcher.errors import EdgeError, LauncherError

Number = Annotated[int, typer.Argument(help="The picture's number, as `plexus quarantine list` shows it.")]

_TIMEOUT_SECONDS = 120
_MASK = re.compile(r"(\d+),(\d+),(\d+)[,x](\d+)")


def commands(command: Wrap, running: Running, console: Console) -> typer.Typer:
    """The commands; see `frame`."""
    app = typer.Typer(help="Pictures that a person has to look at before they leave.", no_args_is_help=True)

    def ask(data: Path | None, offset: int | None, method: str, path: str, **options: Any) -> Any:
        return asked(running(data, offset).url("anonymise"), method, path, **options)

    @app.command("list")
    @command
    def list_(
        everything: Annotated[bool, typer.Option("--all", help="Decided ones too.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
        data: Data = None,
        port_offset: Offset = None,
    ) -> None:
        """List the pictures that wait, and why."""
        wanted = {} if everything else {"state": "waiting"}
        entries = ask(data, port_offset, "GET", "/quarantine", params=wanted).json()["entries"]
        if as_json:
            print(json.dumps(entries, indent=2))
        elif entries:
            console.print(table(entries), soft_wrap=not console.is_terminal)
        else:
            console.print("Nothing waits in quarantine.")

    @app.command()
    @command
    def show(
        number: Number,
        output: Annotated[Path | None, typer.Option("--output", "-o", help="The PNG to write.")] = None,
        frame: Annotated[int, typer.Option(help="The frame, counted from 1.")] = 1,
        data: Data = None,
        port_offset: Offset = None,
    ) -> None:
        """Write a frame as a PNG, with what was found framed in red. It shows what the patient's picture shows."""
        image = ask(data, port_offset, "GET", f"/quarantine/{number}/preview", params={"frame": frame}).content
        path = output or Path(f"quarantine-{number}-{frame}.png")
        path.touch(mode=0o600)
        path.write_bytes(image)
        console.print(f"{path} shows frame {frame}; delete it when you have decided.", highlight=False)

    @app.command()
    @command
    def release(
        number: Number,
        mask: Annotated[
            list[str] | None,
            typer.Option("--mask", help="Mask X,Y,WIDTH,HEIGHT instead of what was found; may be given often."),
        ] = None,
        as_it_is: Annotated[bool, typer.Option("--as-it-is", help="Mask nothing: there is no text.")] = False,
        data: Data = None,
        port_offset: Offset = None,
    ) -> None:
        """Let a picture out, with all that was found masked; the jobs that waited for it go on."""
        if mask and as_it_is:
            raise LauncherError("--mask and --as-it-is cannot both be meant")
        masks = [] if as_it_is else [mask_of(text) for text in mask] if mask else None
        entry = ask(data, port_offset, "POST", f"/quarantine/{number}/release", json={"masks": masks}).json()
        console.print(f"Released with {len(entry['masks'])} masks.")

    @app.command()
    @command
    def refuse(number: Number, data: Data = None, port_offset: Offset = None) -> None:
        """Keep a picture in; the jobs that wait for it fail, and say why."""
        ask(data, port_offset, "POST", f"/quarantine/{number}/refuse")
        console.print("Refused; the jobs that waited for it have failed.")

    return app


def table(entries: Sequence[dict[str, Any]]) -> Table:
    """Pictures in quarantine, as `GET /quarantine` tells them."""
    numbers = ("number", "size", "frames", "found", "jobs")
    made = tables.plain("number", "state", "size", "frames", "found", "jobs", "why", right=numbers)
    for entry in entries:
        made.add_row(
            str(entry["number"]),
            str(entry["state"]),
            f"{entry['columns']}x{entry['rows']}",
            str(entry["frames"]),
            str(len(entry["found"])),
            str(len(entry["jobs"])),
            f"{entry['reason']} ({', '.join(entry['grounds'])})",
        )
    return made


def mask_of(text: str) -> tuple[int, ...]:
    """`X,Y,WIDTH,HEIGHT` as numbers.

    Raises:
        LauncherError: it is something else.
    """
    found = _MASK.fullmatch(text.replace(" ", ""))
    if found is None:
        raise LauncherError(f"{text} is no mask: X,Y,WIDTH,HEIGHT in pixels, such as 0,0,512,40")
    return tuple(map(int, found.groups()))


def asked(url: str, method: str, path: str, **options: Any) -> Any:
    """What `anonymise` answers.

    Raises:
        EdgeError: nothing, or no.
    """
    import httpx  # late: `--help` needs none of it

    try:
        answer = httpx.request(method, url + path, timeout=_TIMEOUT_SECONDS, **options)
    except httpx.TransportError:
        raise EdgeError(f"anonymise at {url} does not answer; see ./plexus status") from None
    if answer.is_success:
        return answer
    is_problem = answer.headers.get("Content-Type", "").startswith("application/problem+json")
    raise EdgeError(answer.json()["detail"] if is_problem else f"anonymise answered {answer.status_code}")
