"""Plant, send, wait for the models, look everywhere, tell."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console

from services.launcher import scu
from services.launcher.canary import places
from services.launcher.canary.canaries import Canaries, find
from services.launcher.canary.places import Place
from services.launcher.canary.planting import Planted, studies
from services.launcher.commands import tables
from services.launcher.edge import Edge, Job
from services.launcher.errors import EdgeError, LauncherError
from services.launcher.mesh import Mesh

_PATIENCE_SECONDS: Final = 600.0
_LOOK_SECONDS: Final = 0.25
_MOST_TOLD: Final = 30
_RUNS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Looked:
    """What was seen in one place.

    Attributes:
        things: files, messages, pages.
        size: of all of them, in bytes.
        found: where a canary sang, and where it had been planted.
    """

    place: str
    things: int
    size: int
    found: tuple[tuple[str, str], ...]


def run(console: Console, mesh: Mesh, sample: Path) -> int:
    """Do it all; 0 when no canary was found, and everything that had to be looked at was there.

    Raises:
        LauncherError: the studies could not be sent, or the models did not come to an end.
    """
    began = time.time()
    canaries = Canaries(int(began) % _RUNS)
    with tempfile.TemporaryDirectory(prefix="plexus-canary-") as name:
        folder = Path(name)
        with console.status("planting…"):
            planted = list(studies(sample, folder / "studies", canaries))
        instances = sum(len(each.files) for each in planted)
        console.print(f"{len(canaries.planted)} canaries in {instances} instances of {len(planted)} studies")
        inputs = places.ModelInputs(folder / "inputs")
        with inputs.watched():
            jobs = _through(console, mesh, planted)
        _ask(mesh, planted, canaries)
        time.sleep(1.0)  # spans are written in batches
        looked = [_look(place, canaries) for place in _all(mesh, inputs, began, folder)]
    told = [job for job in jobs if not job.state.ended or job.state.value != "completed"]
    _tell(console, looked)
    for job in told:
        console.print(f"[yellow]{job.model}: {job.state}[/] {job.reason}", highlight=False)
    empty = [each.place for each in looked if not each.things and each.place in _NEVER_EMPTY]
    for place in empty:
        console.print(f"[red]nothing was there to look at: {place}[/]")
    found = sum(len(each.found) for each in looked)
    if not found and not empty:
        console.print(f"[green]0 of {len(canaries.planted)} canaries found.[/]")
    return 1 if found or empty else 0


_WORK = "work store: inputs and results of the models"
_STREAMS = "NATS: streams that the compute zone reads"
_INPUTS = "Triton: inputs in shared memory"
_LOGS = "logs of all parts"
_SPANS = "spans"
_METRICS = "metrics and health of all services"
_NEVER_EMPTY = frozenset({_WORK, _STREAMS, _INPUTS, _LOGS, _SPANS, _METRICS})
"""Where nothing would prove nothing."""


def _all(mesh: Mesh, inputs: places.ModelInputs, since: float, but: Path) -> Sequence[Place]:
    data = mesh.settings.data
    return (
        Place(_WORK, lambda: places.files(data / "work")),
        Place(_STREAMS, lambda: iter(places.compute_streams(mesh))),
        Place(_INPUTS, inputs.read),
        Place("Triton: its folder", lambda: places.files(data / "triton")),
        Place(_LOGS, lambda: places.files(mesh.settings.logs)),
        Place(_SPANS, lambda: places.files(mesh.settings.spans)),
        Place(_METRICS, lambda: places.metrics(mesh)),
        Place("state and generated configuration", lambda: places.files(mesh.settings.run, data / "edge")),
        Place("crash dumps", lambda: places.dumps(mesh, since)),
        Place("temporary files", lambda: places.temporary(since, but)),
    )


def _look(place: Place, canaries: Canaries) -> Looked:
    things = size = 0
    found: list[tuple[str, str]] = []
    for name, data in place.read():
        things += not name.startswith("the name of ")
        size += len(data)
        found += [(name, sung) for sung in find(data, canaries)]
    return Looked(place.name, things, size, tuple(dict.fromkeys(found)))


def _through(console: Console, mesh: Mesh, planted: Sequence[Planted]) -> list[Job]:
    """Send everything by C-STORE, and wait until every model has come to an end."""
    host, port = mesh.address("dimse").rsplit(":", 1)
    for study in planted:
        found = scu.find(study.files)
        with console.status(f"sending: {study.what}"):
            failed = [sent for sent in scu.send(found.files, host, int(port), called="PLEXUS") if not sent.stored]
        if failed or found.refused:
            raise LauncherError(f"{len(failed) + len(found.refused)} instances were not stored ({study.what})")
    with Edge(mesh.url("edge")) as edge, console.status("waiting for the models…"):
        _ended(edge, planted)
        _on_request(edge, planted)
        return _ended(edge, planted)


def _ended(edge: Edge, planted: Sequence[Planted]) -> list[Job]:
    """All jobs, when every one of them has come to an end."""
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end:
        jobs = [job for study in planted for job in edge.jobs(study=study.study_instance_uid)]
        expected = {study.study_instance_uid for study in planted if study.modelled}
        begun = expected <= {job.study_instance_uid for job in jobs}
        if begun and all(job.state.ended for job in jobs) and _quiet(edge, planted, len(jobs)):
            return jobs
        time.sleep(_LOOK_SECONDS)
    raise LauncherError("the models did not come to an end: ./plexus jobs tells where they are")


def _on_request(edge: Edge, planted: Sequence[Planted]) -> None:
    """Ask for the models that run by nobody's rule alone."""
    models = edge.models()
    for study in planted:
        ran = {job.model for job in edge.jobs(study=study.study_instance_uid)}
        for model in models:
            if model in ran:
                continue
            with suppress(EdgeError):  # no series of the study is one that it takes
                edge.run({"model": model, "study": study.study_instance_uid})


def _quiet(edge: Edge, planted: Sequence[Planted], jobs: int) -> bool:
    """Whether no more jobs come: every model has its job by the same event, but one after another."""
    time.sleep(1.0)
    return sum(len(edge.jobs(study=study.study_instance_uid)) for study in planted) == jobs


def _ask(mesh: Mesh, planted: Sequence[Planted], canaries: Canaries) -> None:
    """Ask every edge with canaries, rightly and wrongly: what is refused is told somewhere, too."""
    text, uid = canaries.text("a query"), canaries.uid("a path")
    with httpx.Client(base_url=mesh.url("edge"), timeout=30) as client:
        for path, params in (
            ("/dicom-web/studies", {"PatientName": f"{text}*"}),
            ("/dicom-web/studies", {"PatientID": text, "StudyDate": text}),
            (f"/dicom-web/studies/{uid}/metadata", {}),
            (f"/dicom-web/studies/{text}/metadata", {}),
            (f"/dicom-web/{text}", {text: text}),
            (f"/jobs/{text}", {}),
            ("/audit", {"study": uid, "from": text}),
            ("/conflicts", {"limit": text}),
            *((f"/dicom-web/studies/{study.study_instance_uid}/metadata", {}) for study in planted),
        ):
            client.get(path, params=params)
        client.post("/dicom-web/studies", content=text.encode(), headers={"Content-Type": f"multipart/{text}"})


def _tell(console: Console, looked: Sequence[Looked]) -> None:
    table = tables.plain("where", "things", "MB", "canaries", right=("things", "MB", "canaries"))
    for each in looked:
        found = f"[bold red]{len(each.found)}[/]" if each.found else "[green]0[/]"
        table.add_row(each.place, str(each.things), f"{each.size / 1e6:.1f}", found)
    console.print(table)
    for each in looked:
        for where, planted in each.found[:_MOST_TOLD]:
            console.print(f"[red]✗[/] {planted}  →  {where}", highlight=False, soft_wrap=True)
        if len(each.found) > _MOST_TOLD:
            console.print(f"  and {len(each.found) - _MOST_TOLD} more in {each.place}")
