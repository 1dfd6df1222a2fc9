"""`plexus model`: bring a model, check it, put it in use, and take it back."""

from __future__ import annotations

import io
import tarfile
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Annotated, Any, Final

import typer
import yaml
from rich.console import Console
from rich.table import Table

from services.launcher.authoring import template
from services.launcher.commands import shadow, tables
from services.launcher.commands.frame import Data, Offset, Running, Wrap
from services.launcher.errors import EdgeError, LauncherError

_SECONDS: Final = 1800
"""A check runs the model: it takes as long as that does."""
_TOLD_SECONDS: Final = 1.0
_LEFT_OUT: Final = {"__pycache__", ".git", ".venv", "report"}

_At = Callable[[Path | None, int | None], "Catalogue"]

Name = Annotated[str, typer.Argument(help="The model's name, as `plexus model list` shows it.")]
VersionName = Annotated[str, typer.Argument(help="The version.")]
Package = Annotated[Path, typer.Argument(help="The folder of the package, with model.yaml in it.")]


def commands(command: Wrap, running: Running, console: Console) -> typer.Typer:
    """The commands; see `frame`."""
    app = typer.Typer(help="Models: bring one, check it, put it in use, take it back.", no_args_is_help=True)

    def at(data: Path | None, offset: int | None) -> Catalogue:
        return Catalogue(running(data, offset).url("edge"))

    for add in (_bringing, _looking, _moving, shadow.command):
        add(app, command, at, console)
    return app


def _bringing(app: typer.Typer, command: Wrap, at: _At, console: Console) -> None:
    @app.command()
    @command
    def new(
        folder: Annotated[Path, typer.Argument(help="A folder that is not there yet; its name is the model's.")],
    ) -> None:
        """Begin a package: a card, a small model that works, and a test case."""
        template.write(folder)
        console.print(f"{folder}: change model.yaml and triton/1/model.py, then: plexus model check {folder}")
        console.print(f"Packages of your own: {folder}/requirements.in says how.")

    @app.command()
    @command
    def lock(
        package: Package,
        python: Annotated[
            str, typer.Option("--python", help="For this one, such as 3.11; else for all that Triton may have.")
        ] = "",
        upgrade: Annotated[bool, typer.Option("--upgrade", help="Take the newest versions.")] = False,
    ) -> None:
        """Make requirements.lock of a package's requirements.in: its code then has an environment of its own."""
        from services.launcher.authoring import locking  # late: as above

        console.print(
            f"{package / 'requirements.lock'}: {locking.lock(package, python=python, upgrade=upgrade)} packages"
        )

    @app.command("import")
    @command
    def import_(
        bundle: Annotated[Path, typer.Argument(help="The folder of a MONAI bundle.")],
        package: Annotated[Path, typer.Argument(help="The folder to make.")],
    ) -> None:
        """Make a package of a MONAI bundle as its authors ship it."""
        from services.launcher.authoring.bundles import BundleRefused, import_bundle

        try:
            card = import_bundle(bundle, package)
        except (BundleRefused, OSError) as error:
            raise LauncherError(str(error)) from None
        console.print(f"{package} holds {card.name} {card.version}. Try it: plexus model try {package} FOLDER")

    @app.command("try")
    @command
    def try_(
        package: Package,
        folder: Annotated[Path, typer.Argument(help="A folder of DICOM files: one series.")],
        output: Annotated[Path, typer.Option("--output", "-o", help="Where pictures and the result go.")] = Path(
            "trial"
        ),
        keep: Annotated[
            str, typer.Option("--keep", help="Make a test case of this name of it. Look at the pictures first.")
        ] = "",
        inputs: Annotated[
            list[str] | None,
            typer.Option("--input", metavar="NAME=FOLDER", help="The folder for a further input, such as a prior."),
        ] = None,
    ) -> int:
        """Run a package on DICOM files without a mesh, with what the mesh would do before and after."""
        from services.launcher.authoring import trial  # late: it needs the whole of inference

        if any("=" not in one for one in inputs or ()):
            raise LauncherError("an input is NAME=FOLDER, such as prior=/data/earlier")
        more = {name: Path(path) for name, path in (one.split("=", 1) for one in inputs or ())}
        return trial.main(package, folder, output, keep, console, more=more)

    @app.command()
    @command
    def check(
        package: Package,
        record: Annotated[
            bool, typer.Option("--record", help="Keep what came out as what is expected. Look at the pictures first.")
        ] = False,
        data: Data = None,
        port_offset: Offset = None,
    ) -> int:
        """Upload a package as a draft, run its test cases on Triton, and write a report with pictures into report/."""
        catalogue = at(data, port_offset)
        version = catalogue.checked(package, console.print)
        _tell(version, console)
        catalogue.fetch_report(version, package / "report")
        console.print(f"[dim]{package / 'report' / 'report.html'}[/]", highlight=False)
        if record:
            for case in version["report"]["cases"]:
                outputs = package / "report" / f"{case['case']}.npz"
                if outputs.exists():
                    (package / "tests" / case["case"] / "expected.npz").write_bytes(outputs.read_bytes())
            console.print("What came out is what is expected from now on: check once more.")
        return 0 if version["report"]["passed"] else 1

    @app.command()
    @command
    def publish(
        package: Package,
        activate: Annotated[bool, typer.Option("--activate", help="Put it in use at once.")] = False,
        data: Data = None,
        port_offset: Offset = None,
    ) -> int:
        """Check a package, and publish it if it passes. Its bytes are fixed from then on."""
        catalogue = at(data, port_offset)
        version = catalogue.checked(package, console.print)
        _tell(version, console)
        if not version["report"]["passed"]:
            return 1
        catalogue.move(version["name"], version["version"], "publish")
        console.print(f"{version['name']} {version['version']} is published.")
        if activate:
            catalogue.move(version["name"], version["version"], "activate")
            console.print("It is in use: new jobs run on it.")
        else:
            console.print(f"To put it in use: plexus model activate {version['name']} {version['version']}")
        return 0


def _looking(app: typer.Typer, command: Wrap, at: _At, console: Console) -> None:
    @app.command("list")
    @command
    def list_(data: Data = None, port_offset: Offset = None) -> None:
        """List the models, and which version of each is in use."""
        models = at(data, port_offset).ask("GET", "/models").json()["models"]
        console.print(_models(models), soft_wrap=not console.is_terminal)

    @app.command()
    @command
    def show(
        name: Name,
        version: Annotated[str, typer.Argument(help="The version; the active one if none is said.")] = "",
        data: Data = None,
        port_offset: Offset = None,
    ) -> None:
        """Show a version's card, its state and its last check."""
        catalogue = at(data, port_offset)
        model = catalogue.ask("GET", f"/models/{name}").json()
        chosen = version or model["active"] or model["versions"][0]["version"]
        found = catalogue.ask("GET", f"/models/{name}/versions/{chosen}").json()
        console.print(yaml.safe_dump(found["card"], sort_keys=False, allow_unicode=True), markup=False, highlight=False)
        in_use = ", in use" if found["active"] else ""
        console.print(f"{found['state']}{in_use}, by {found['owner']}, package {found['digest'][:16]}", highlight=False)
        if found["report"]:
            _tell(found, console)

    @app.command()
    @command
    def versions(name: Name, data: Data = None, port_offset: Offset = None) -> None:
        """List the versions of a model, and what was done to them by whom."""
        catalogue = at(data, port_offset)
        model = catalogue.ask("GET", f"/models/{name}").json()
        console.print(_versions(model), soft_wrap=not console.is_terminal)
        console.print()
        console.print(_history(catalogue.ask("GET", f"/models/{name}/changes").json()["changes"]))


def _moving(app: typer.Typer, command: Wrap, at: _At, console: Console) -> None:
    @app.command()
    @command
    def activate(name: Name, version: VersionName, data: Data = None, port_offset: Offset = None) -> None:
        """Put a published version in use. It is loaded first; jobs in hand end on the version that they began with."""
        model = at(data, port_offset).move(name, version, "activate")
        console.print(f"New jobs run on {name} {model['active']}. Back: plexus model rollback {name}")

    @app.command()
    @command
    def rollback(name: Name, data: Data = None, port_offset: Offset = None) -> None:
        """Go back to the version that was in use before."""
        model = at(data, port_offset).ask("POST", f"/models/{name}/rollback").json()
        console.print(f"New jobs run on {name} {model['active']} again.")

    @app.command()
    @command
    def retire(name: Name, version: VersionName, data: Data = None, port_offset: Offset = None) -> None:
        """Take a version out of use for good. Its results stay."""
        at(data, port_offset).move(name, version, "retire")
        console.print(f"{name} {version} is retired.")


class Catalogue:
    """The catalogue behind the edge."""

    def __init__(self, edge: str) -> None:
        self._url = f"{edge}/catalogue"

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """What it answers.

        Raises:
            EdgeError: nothing, or no.
        """
        import httpx  # late: `--help` needs none of it

        try:
            answer = httpx.request(method, self._url + path, timeout=_SECONDS, **options)
        except httpx.TransportError:
            raise EdgeError(f"the catalogue at {self._url} does not answer; see ./plexus status") from None
        if answer.is_success:
            return answer
        is_problem = answer.headers.get("Content-Type", "").startswith("application/problem+json")
        raise EdgeError(answer.json()["detail"] if is_problem else f"the catalogue answered {answer.status_code}")

    def checked(self, package: Path, tell: Callable[[str], None] = lambda _: None) -> dict[str, Any]:
        """Upload a package and run its test cases; gives the version. `tell` hears how its environment is built."""
        with packed(package) as file:
            version = self.ask("POST", "/packages", content=_chunks(file)).json()
        path = f"/models/{version['name']}/versions/{version['version']}"
        if not (package / "requirements.lock").exists():
            return dict(self.ask("POST", f"{path}/check").json())
        with ThreadPoolExecutor(1) as alone:
            checking = alone.submit(self.ask, "POST", f"{path}/check")
            told = ""
            while not wait([checking], _TOLD_SECONDS).done:
                found = self.ask("GET", f"{path}/environment").json()
                words = f"environment of {found['packages']} packages, {found['seconds']:.0f} s: {found['words']}"
                if found["state"] == "building" and found["words"] != told:
                    tell(_plain(words))
                    told = found["words"]
            return dict(checking.result().json())

    def move(self, name: str, version: str, move: str) -> dict[str, Any]:
        """Do something to a version."""
        return dict(self.ask("POST", f"/models/{name}/versions/{version}/{move}").json())

    def fetch_report(self, version: dict[str, Any], folder: Path) -> None:
        """Write what the check left into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        base = f"/models/{version['name']}/versions/{version['version']}/report"
        wanted = ["report.html", "report.json"]
        for case in version["report"]["cases"]:
            wanted += [case["picture"]] * bool(case["picture"]) + [f"{case['case']}.npz"]
        for file in wanted:
            try:
                (folder / file).write_bytes(self.ask("GET", f"{base}/{file}").content)
            except EdgeError:
                if file.endswith(".npz"):  # a case whose model threw has no outputs
                    continue
                raise


def packed(package: Path) -> Any:
    """The package as a tar file.

    Raises:
        LauncherError: the folder is no package.
    """
    if not (package / "model.yaml").is_file():
        raise LauncherError(f"{package} has no model.yaml; plexus model new begins a package")
    file = tempfile.TemporaryFile()  # noqa: SIM115  # the caller closes it
    with tarfile.open(fileobj=file, mode="w") as tar:
        for path in sorted(package.rglob("*")):
            inner = path.relative_to(package)
            if path.is_file() and not _LEFT_OUT & set(inner.parts):
                tar.add(path, str(inner), recursive=False)
    file.seek(0, io.SEEK_SET)
    return file


def _chunks(file: Any) -> Any:
    while chunk := file.read(1 << 20):
        yield chunk


def _tell(version: dict[str, Any], console: Console) -> None:
    report = version["report"]
    for problem in report["problems"]:
        console.print(f"[red]{_plain(problem)}[/]", highlight=False)
    for case in report["cases"]:
        mark = "[green]passed[/]" if case["passed"] else "[red]did not pass[/]"
        figures = ", ".join(f"{name} {value:g}" for name, value in case["figures"].items())
        console.print(f"{case['case']}: {mark} in {case['seconds']:.2f} s  [dim]{figures}[/]", highlight=False)
        for problem in case["problems"]:
            console.print(f"  [red]{_plain(problem)}[/]", highlight=False)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _models(models: list[dict[str, Any]]) -> Table:
    table = tables.plain("model", "in use", "versions", "kind", "task", "title")
    for model in models:
        newest = next((one for one in model["versions"] if one["active"]), model["versions"][0])
        row = (model["name"], model["active"] or "-", str(len(model["versions"])))
        table.add_row(*row, newest["kind"], newest["task"], newest["title"])
    return table


def _versions(model: dict[str, Any]) -> Table:
    table = tables.plain("version", "state", "in use", "made", "by", "package")
    for one in model["versions"]:
        in_use = "yes" if one["active"] else "before" if one["version"] == model["previous"] else ""
        in_use += " shadow" * (one["version"] == model["shadow"])
        table.add_row(
            one["version"], one["state"], in_use.strip(), one["made_at"][:19], one["owner"], one["digest"][:16]
        )
    return table


def _history(changes: list[dict[str, Any]]) -> Table:
    table = tables.plain("when", "version", "what", "by")
    for one in changes:
        table.add_row(one["at"][:19], one["version"], one["what"], one["who"])
    return table
