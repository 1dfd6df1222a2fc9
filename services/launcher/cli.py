"""The commands. Each is thin: it reads its settings, calls one module, and says how it ended by its exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from services.launcher import audit, conflicts, models, quarantine, results
from services.launcher.errors import LauncherError
from services.launcher.mesh import Mesh
from services.launcher.settings import Settings

app = typer.Typer(
    help="Plexus: a DICOMweb-native service mesh for medical-imaging AI. Not for clinical use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
# Into a file or a pipe there is no width to keep to.
console = Console(width=None if sys.stdout.isatty() or "COLUMNS" in os.environ else 160)

Data = Annotated[
    Path | None, typer.Option("--data", help="The data folder (PLEXUS_DATA; default .plexus in the clone).")
]
Offset = Annotated[
    int | None,
    typer.Option("--port-offset", help="Added to every default port (PLEXUS_PORT_OFFSET; single ones: PLEXUS_PORT_…)."),
]


def _command(function: Callable[..., int | None]) -> Callable[..., None]:
    """A command whose LauncherErrors are told in one line, and whose result is the exit code."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> None:
        try:
            code = function(*args, **kwargs) or 0
        except LauncherError as error:
            Console(stderr=True).print(f"[bold red]plexus:[/] {_plain(error)}", highlight=False, soft_wrap=True)
            code = 1
        except KeyboardInterrupt:
            code = 130
        raise typer.Exit(code)

    return run


def _plain(error: LauncherError) -> str:
    return str(error).replace("[", r"\[")  # what a log says is no markup


def _mesh(data: Path | None, port_offset: int | None) -> Mesh:
    """A mesh as its settings say; of one that is up, the ports are those that it has."""
    mesh = Mesh(Settings.read(os.environ, data=data, port_offset=port_offset))
    return mesh.as_running() if mesh.is_up else mesh


def _running(data: Path | None, port_offset: int | None) -> Mesh:
    mesh = _mesh(data, port_offset)
    mesh.state()
    return mesh


app.add_typer(audit.commands(_command, _running, console), name="audit")
app.add_typer(conflicts.commands(_command, _running, console), name="conflicts")
app.add_typer(models.commands(_command, _running, console), name="model")
app.add_typer(quarantine.commands(_command, _running, console), name="quarantine")
app.add_typer(results.commands(_command, _running, console), name="results")


def _welcome(mesh: Mesh) -> None:
    console.print()
    console.print(f"  viewer    {mesh.url('edge')}/viewer", highlight=False)
    console.print(f"  DICOMweb  {mesh.url('edge')}/dicom-web", highlight=False)
    console.print(f"  DIMSE     PLEXUS at {mesh.address('dimse')}", highlight=False)
    console.print("  Every caller is the principal `local`; every edge listens on loopback only.", style="dim")


@app.command()
@_command
def demo(
    exit_: Annotated[bool, typer.Option("--exit", help="Stop after the result.")] = False,
    data: Data = None,
    port_offset: Offset = None,
) -> int:
    """Set up all that is needed, start the mesh, send a chest CT by C-STORE and show what comes of it."""
    from services.launcher import bringup  # late: `--help` and `status` need none of these
    from services.launcher import demo as demonstration

    bringup.set_up(console)
    mesh = _mesh(data, port_offset)
    was_up = mesh.is_up
    try:
        if not was_up:
            bringup.start(mesh, console, stay=False)
        _welcome(mesh)
        console.print()
        good = demonstration.run(mesh, console)
        if not exit_ and good and not was_up:
            _wait_for_end(mesh)
    finally:
        if not was_up:
            bringup.stop(mesh, console)
    return 0 if good else 1


@app.command()
@_command
def up(
    foreground: Annotated[bool, typer.Option("--foreground", "-f", help="Stay until Ctrl-C.")] = False,
    data: Data = None,
    port_offset: Offset = None,
) -> None:
    """Start the mesh, and return when every part is ready."""
    from services.launcher import bringup

    bringup.set_up(console)
    mesh = _mesh(data, port_offset)
    if mesh.is_up:
        console.print("The mesh is up already.", style="yellow")
        _welcome(mesh)
        return
    try:
        bringup.start(mesh, console, stay=not foreground)
    except KeyboardInterrupt:
        bringup.stop(mesh, console)
        raise
    _welcome(mesh)
    if foreground:
        try:
            _wait_for_end(mesh)
        finally:
            bringup.stop(mesh, console)


@app.command()
@_command
def down(data: Data = None, port_offset: Offset = None) -> None:
    """Stop the mesh: every part in order, nothing is left running."""
    from services.launcher import bringup

    mesh = _mesh(data, port_offset)
    if not mesh.is_up:
        console.print(f"The mesh of {mesh.settings.data} is not up.")
        return
    bringup.stop(mesh, console)


@app.command()
@_command
def status(data: Data = None, port_offset: Offset = None) -> int:
    """Show every part: state, process, ports, uptime, restarts, memory."""
    from services.launcher import status as tables

    told = _running(data, port_offset).state()
    console.print(tables.parts(told))
    return 0 if told.phase == "ready" else 1


@app.command()
@_command
def send(  # noqa: PLR0917  # typer reads a command's options from its parameters
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="DICOM files, or folders of them.")],
    host: Annotated[str | None, typer.Option(help="Another receiver than this mesh.")] = None,
    port: Annotated[int | None, typer.Option(help="The other receiver's port.")] = None,
    called: Annotated[str, typer.Option("--aet", help="The receiver's AE title.")] = "PLEXUS",
    data: Data = None,
    port_offset: Offset = None,
) -> int:
    """Send files by C-STORE, each in its own transfer syntax."""
    from services.launcher import sending

    address = f"{host or '127.0.0.1'}:{port or 11112}" if host or port else _running(data, port_offset).address("dimse")
    return sending.run(console, paths, address, called)


@app.command()
@_command
def jobs(  # noqa: PLR0917  # as above
    study: Annotated[str | None, typer.Option(help="Only jobs of this Study Instance UID.")] = None,
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    limit: Annotated[int, typer.Option(help="At most so many, newest first.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    data: Data = None,
    port_offset: Offset = None,
) -> None:
    """List jobs, newest first."""
    from dataclasses import asdict

    from services.launcher import status as tables
    from services.launcher.edge import Edge

    filters = {"limit": str(limit), **({"study": study} if study else {}), **({"state": state} if state else {})}
    with Edge(_running(data, port_offset).url("edge")) as edge:
        found = edge.jobs(**filters)
    if as_json:
        print(json.dumps([asdict(job) for job in found], indent=2))
    elif found:
        console.print(tables.jobs(found), soft_wrap=not console.is_terminal)
    else:
        console.print("There is no job yet; send a study: ./plexus send PATH")


@app.command("run")
@_command
def run_model(  # noqa: PLR0917  # as above
    model: Annotated[str, typer.Argument(help="A model: `GET /models` lists them.")],
    study: Annotated[str, typer.Argument(help="Study Instance UID.")],
    series: Annotated[str, typer.Option(help="Only this series, whether or not the model's rule selects it.")] = "",
    priority: Annotated[str, typer.Option(help="stat, routine or low.")] = "routine",
    deadline: Annotated[str, typer.Option(help="Given up at this time (ISO 8601, with its offset).")] = "",
    force: Annotated[bool, typer.Option("--force", help="Also where the result is there.")] = False,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="NAME=SERIES", help="The series for a further input, such as a prior."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Only the jobs as they ended, as JSON.")] = False,
    data: Data = None,
    port_offset: Offset = None,
) -> int:
    """Run a model on a study, follow it, and say where its results are."""
    from services.launcher import running
    from services.launcher.edge import Edge

    with Edge(_running(data, port_offset).url("edge")) as edge:
        return running.run(
            console,
            edge,
            model,
            study,
            series=series,
            priority=priority,
            deadline=deadline,
            force=force,
            inputs=inputs or (),
            as_json=as_json,
        )


@app.command()
@_command
def cancel(
    job: Annotated[str, typer.Argument(metavar="JOB", help="The id of a job: ./plexus jobs lists them.")],
    data: Data = None,
    port_offset: Offset = None,
) -> None:
    """Stop a job: what works on it stops."""
    from services.launcher.edge import Edge

    with Edge(_running(data, port_offset).url("edge")) as edge:
        console.print(f"{edge.cancel(job).id} is cancelled", highlight=False)


@app.command()
@_command
def deidentify(  # noqa: PLR0917  # as above
    paths: Annotated[list[Path], typer.Argument(metavar="PATH…", help="DICOM files, or folders of them.")],
    profile: Annotated[
        str, typer.Option("--profile", "-p", help="A profile: a file, or a name of deploy/profiles.")
    ] = "default",
    report: Annotated[
        bool, typer.Option("--report", help="Show what happens to each attribute, by which rule.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the de-identified files there; without it, a dry run.")
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option("--key-file", help="The site's key; default that of the mesh's data folder.")
    ] = None,
    data: Data = None,
) -> int:
    """De-identify files by a profile (DICOM PS3.15 Annex E), without the mesh. No value of a file is shown."""
    from services.launcher import deidentify as deidentification

    own = Settings.read(os.environ, data=data, port_offset=None).secrets / "anonymise.key"
    key = key_file or (own if own.exists() else None)
    return deidentification.run(console, paths, profile=profile, report=report, output=output, key_file=key)


@app.command()
@_command
def trace(
    which: Annotated[str, typer.Argument(metavar="ID", help="A trace id, or the id of a job.")],
    everything: Annotated[bool, typer.Option("--all", help="Calls and messages too, not only the work.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, with everything.")] = False,
    data: Data = None,
    port_offset: Offset = None,
) -> None:
    """Show where the time went: one trace as a tree. Works on the data folder, also when the mesh is not up."""
    from services.launcher import spans
    from services.launcher import trace as trees

    folder = _mesh(data, port_offset).settings.spans
    trace_id = spans.trace_of(folder, which.lower())
    if trace_id is None:
        raise LauncherError(
            f"no span in {folder} is of a trace or a job with the id {which}:"
            " ./plexus jobs lists the jobs, ./plexus up starts the mesh"
        )
    found = list(spans.read(folder, trace_id))
    if as_json:
        roots = trees.as_json(trees.tree(found))
        print(json.dumps({"trace_id": trace_id, "spans": len(found), "roots": roots}, indent=2))
        return
    nodes = trees.tree(found if everything else trees.without_carriers(found))
    console.print(trees.table(nodes, console.width))


@app.command("rotate-key")
@_command
def rotate_key(data: Data = None) -> None:
    """Make a new key for pseudonyms; what was released under the old one keeps its way back.

    The same patient has another pseudonym from then on. `anonymise` takes the new key at its next start.
    """
    from services.anonymise.adapters.key_file import rotate
    from services.anonymise.errors import KeyFileError

    path = _mesh(data, None).settings.secrets / "anonymise.key"
    try:
        keys = rotate(path)
    except KeyFileError as error:
        raise LauncherError(str(error)) from None
    console.print(f"{path} is new; {len(keys.by_id) - 1} older beside it. Back them up, and start the mesh anew.")


@app.command()
@_command
def certificates(
    folder: Annotated[Path, typer.Argument(help="Where they go: a folder a service.")],
    days: Annotated[int, typer.Option(help="How long they are valid.", min=1)] = 365,
    host: Annotated[list[str] | None, typer.Option(help="Another name under which services are reached.")] = None,
) -> None:
    """Make certificates for mutual TLS between services, and with NATS and PostgreSQL (PLEXUS_<SERVICE>_TLS_FOLDER)."""
    from services.launcher import certificates as making
    from services.launcher import registry

    making.make(folder, registry.certified(), days=days, hosts=host or ())
    console.print(f"{len(registry.certified())} certificates in {folder}, valid for {days} days", highlight=False)


@app.command()
@_command
def export(
    studies: Annotated[list[str], typer.Argument(metavar="STUDY…", help="Study Instance UIDs.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The folder for the files.")],
    deidentified: Annotated[
        bool, typer.Option("--deidentified", help="Through the airlock, by the profile of `anonymise`.")
    ] = False,
    data: Data = None,
    port_offset: Offset = None,
) -> int:
    """Write studies of the archive into a folder, as they are stored or de-identified."""
    from services.launcher import export as exporting

    edge = _running(data, port_offset).url("edge")
    return exporting.run(console, edge, studies, output, deidentified=deidentified)


@app.command()
@_command
def canary(data: Data = None, port_offset: Offset = None) -> int:
    """Plant a canary in every corner of a study, send it through the models, and look whether one got out.

    Looks into the work store, the streams of the compute zone, Triton's inputs, logs, spans, metrics, crash dumps and
    temporary files. Ends with 1 if a canary is found, or if there was nothing to look at.
    """
    from services.launcher.canary import run
    from services.launcher.settings import REPOSITORY

    return run.run(console, _running(data, port_offset), REPOSITORY / "tests" / "data" / "ct-chest-cmb")


@app.command()
@_command
def logs(
    service: Annotated[str, typer.Argument(help="A part, such as ingest or triton; `launcher` is the supervisor.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the log grows.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", help="How many of the last lines.")] = 50,
    data: Data = None,
    port_offset: Offset = None,
) -> int:
    """Show the log of a part."""
    folder = _mesh(data, port_offset).settings.logs
    log = folder / f"{Path(service).name}.log"
    if not log.exists():
        known = ", ".join(sorted(each.stem for each in folder.glob("*.log"))) or "none: the mesh was never up"
        raise LauncherError(f"there is no log of {service}; there are: {known}")
    command = ["tail", "-n", str(lines), *(["-F"] if follow else []), str(log)]
    return subprocess.run(command, check=False).returncode


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
@_command
def test(context: typer.Context) -> int:
    """Check everything: format, lint, types, contracts, generated code, tests. What follows -- goes to pytest."""
    from services.launcher import bringup, checks

    checks.ensure_programs()
    bringup.set_up(console)
    return 0 if checks.run(console, context.args) else 1


def _wait_for_end(mesh: Mesh) -> None:
    """Until Ctrl-C, or until the mesh is stopped from elsewhere."""
    try:
        console.print("\nThe mesh is up. Ctrl-C stops it.", style="dim")
        while mesh.is_up:
            time.sleep(0.5)
    except KeyboardInterrupt:
        if sys.stdout.isatty():
            print()
