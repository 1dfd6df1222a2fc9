"""`plexus model shadow`: run a version beside the active one without results, and read how near they are."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from services.launcher.commands import tables
from services.launcher.commands.frame import Data, Offset, Wrap
from services.launcher.errors import LauncherError

if TYPE_CHECKING:
    from services.launcher.commands.models import Catalogue

_At = Callable[[Path | None, int | None], "Catalogue"]


def command(app: typer.Typer, wrap: Wrap, at: _At, console: Console) -> None:
    """Add the command; the arguments are those of `services.launcher.commands.models.commands`."""

    @app.command()
    @wrap
    def shadow(
        name: Annotated[str, typer.Argument(help="The model's name, as `plexus model list` shows it.")],
        version: Annotated[str, typer.Argument(help="The version to run beside the active one; none: report.")] = "",
        *,
        stop: Annotated[bool, typer.Option("--stop", help="End it. The report stays.")] = False,
        as_json: Annotated[bool, typer.Option("--json", help="The report as JSON.")] = False,
        data: Data = None,
        port_offset: Offset = None,
    ) -> None:
        """Run a version beside the active one, on the same input, without results; without a version: report on it."""
        catalogue = at(data, port_offset)
        if stop:
            if version:
                raise LauncherError("--stop ends what runs beside the active version: name no version")
            catalogue.ask("DELETE", f"/models/{name}/shadow")
            console.print(f"Nothing runs beside {name} any more. What was found: plexus model shadow {name}")
        elif version:
            model = catalogue.move(name, version, "shadow")
            console.print(
                f"{name} {model['shadow']} runs beside {model['active']} from the next job on, when nothing else is to "
                f"be done. How it does: plexus model shadow {name}"
            )
        else:
            report = catalogue.ask("GET", f"/models/{name}/shadow").json()
            if as_json:
                print(json.dumps(report, indent=2))
            else:
                tell(report, console)


def tell(report: dict[str, Any], console: Console) -> None:
    """The report for people."""
    state = "runs" if report["running"] else "ran"
    failed = sum(report["failures"].values())
    first, last = ((report[at] or "")[:16].replace("T", " ") for at in ("first_at", "last_at"))
    span = f", {first} to {last} UTC" if report["runs"] else ""
    console.print(
        f"{report['name']} {report['candidate']} {state} in shadow beside {report['active']}: "
        f"{report['runs']} runs, {failed} without figures{span}",
        highlight=False,
    )
    for failure in report["last_failures"]:
        reason = failure["reason"].replace("[", r"\[")
        console.print(f"  [red]{failure['reason_code']}[/] job {failure['job_id']}: {reason}", highlight=False)
    for table in (_labels(report), _measurements(report), _classes(report), _seconds(report)):
        if table is not None:
            console.print()
            console.print(table, soft_wrap=not console.is_terminal)
    if report["not_compared"]:
        console.print(f"\nNot compared: {', '.join(report['not_compared'])}", highlight=False)


def _labels(report: dict[str, Any]) -> Table | None:
    table = tables.plain("label", "runs", "Dice median", "quartiles", "worst", "its job")
    for one in report["labels"]:
        quartiles = f"{one['low_quartile']:.4f} to {one['high_quartile']:.4f}"
        row = (str(one["n"]), f"{one['median']:.4f}", quartiles, f"{one['worst']:.4f}", one["worst_job"])
        table.add_row(one["name"], *row)
    return table if report["labels"] else None


def _measurements(report: dict[str, Any]) -> Table | None:
    table = tables.plain(
        "measurement (candidate minus active)", "pairs", "bias", "95 % limits of agreement", "unit", "alone"
    )
    for one in report["measurements"]:
        bias = "-" if one["bias"] is None else f"{one['bias']:.5g}"
        limits = "-" if one["low_limit"] is None else f"{one['low_limit']:.5g} to {one['high_limit']:.5g}"
        unit = one["unit"].replace("[", r"\[")
        alone = f"{one['only_active']} active, {one['only_candidate']} candidate"
        table.add_row(one["name"], str(one["n"]), bias, limits, unit, alone)
    return table if report["measurements"] else None


def _classes(report: dict[str, Any]) -> Table | None:
    table = tables.plain("class", "runs", "agree", "both", "only active", "only candidate", "neither")
    for one in report["classes"]:
        counts = (str(one[key]) for key in ("both", "only_active", "only_candidate", "neither"))
        table.add_row(one["name"], str(one["n"]), f"{100 * one['agreement']:.1f} %", *counts)
    return table if report["classes"] else None


def _seconds(report: dict[str, Any]) -> Table | None:
    if (seconds := report["seconds"]) is None:
        return None
    table = tables.plain("compute time", "median", "most")
    for role in ("active", "candidate"):
        table.add_row(report[role], f"{seconds[f'{role}_median']:.2f} s", f"{seconds[f'{role}_most']:.2f} s")
    return table
