"""`python -m load_tests front-door`: prints a table, and writes JSON on demand."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from load_tests import front_door, turnaround

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)
_console = Console(stderr=True)


@app.callback()
def _group() -> None:
    """Benchmarks beside the peers, on loopback, in folders of their own that are removed afterwards."""


@app.command("front-door")
def front_door_command(
    works: Annotated[
        list[str] | None, typer.Argument(help=f"Which: {', '.join(front_door.WORKS)}. All if none.")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="The median of so many is shown.")] = 3,
    json: Annotated[Path | None, typer.Option(help="Write all figures here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the table here.")] = None,
) -> None:
    """Plexus beside Debian's Orthanc (packages orthanc, orthanc-dicomweb): stores, lists, frames, images, memory."""
    unknown = set(works or ()) - set(front_door.WORKS)
    if unknown:
        raise typer.BadParameter(f"no such work: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="plexus-load-") as folder:
        report = front_door.run(Path(folder), works or front_door.WORKS, rounds, _console.print)
    print(report.markdown())
    if json:
        json.write_text(report.json())
    if markdown:
        markdown.write_text(report.markdown() + "\n")


@app.command("turnaround")
def turnaround_command(
    models: Annotated[
        list[str] | None, typer.Argument(help=f"Which: {', '.join(turnaround.MODELS)}. All of these if none.")
    ] = None,
    at_once: Annotated[
        list[int] | None, typer.Option(min=1, help="So many studies at once.", show_default="1 4 16")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="So often one study alone.")] = 5,
    slices: Annotated[int, typer.Option(min=20, help="More than 100 are the same ones over again.")] = 100,
    native: Annotated[bool, typer.Option("--native", help="Send it uncompressed; else as it is, JPEG-LS.")] = False,
    setting: Annotated[
        list[str] | None, typer.Option(help="For the mesh, such as PLEXUS_INFERENCE_CONCURRENCY=1.")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write all figures here.")] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables here.")] = None,
) -> None:
    """A chest CT from settled to stored, step by step: 1, 4 and 16 at once; processor and memory."""
    found = []
    overrides = dict(one.split("=", 1) for one in setting or ())
    for model in models or turnaround.MODELS:
        with tempfile.TemporaryDirectory(prefix="plexus-load-") as folder:
            counts = at_once or (1, 4, 16)
            found.append(
                turnaround.run(
                    model,
                    counts,
                    rounds,
                    Path(folder),
                    ct=turnaround.Ct(slices, native),
                    say=_console.print,
                    **overrides,
                )
            )
    print(turnaround.markdown(found))
    if json:
        json.write_text(turnaround.as_json(found))
    if markdown:
        markdown.write_text(turnaround.markdown(found) + "\n")


if __name__ == "__main__":
    app()
