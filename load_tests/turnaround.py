"""From a settled chest CT to stored results, step by step: one study, and several at once; time, processor, memory.

A mesh of its own for each model, with that model alone, chosen by its rule: so the figures are the model's. Copies of
the sample under identifiers of their own come by STOW-RS, interleaved, so that those that come at once settle at once.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from load_tests import data, footprint, lean, steps
from load_tests.footprint import Footprint, Memory
from load_tests.steps import WAITS, Step, Turnaround
from services.launcher import spans
from services.launcher.edge import Edge, Job, JobState
from services.launcher.mesh import Mesh
from services.launcher.settings import REPOSITORY, Settings

MODELS = ("ct-lung", "ct-bone", "ct-unet")
_A_REQUEST = 10
_CONNECTIONS = 4
_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 900.0
_SLICE_BYTES = 512 * 512 * np.dtype(np.int16).itemsize
"""As the models take it: Hounsfield units of 16 bits."""

TARGET_SECONDS, TARGET_OVERHEAD_SECONDS, TARGET_MEMORY = 10.0, 4.0, 3.0


class RunFailed(Exception):
    """A job did not complete: its figures would be worth nothing."""


@dataclass(frozen=True, slots=True)
class Ct:
    """What is sent.

    Attributes:
        native: uncompressed, and not as the sample is, in JPEG-LS.
    """

    slices: int = 100
    native: bool = False

    @property
    def volume_bytes(self) -> int:
        """Of its volume."""
        return self.slices * _SLICE_BYTES


@dataclass(frozen=True, slots=True)
class Batch:
    """So many studies that came at once.

    Attributes:
        cpu: processor seconds a study, by part; `others` of what else ran.
        seconds: how long processor seconds were counted, from the first byte sent.
        load: of the machine just before.
    """

    jobs: tuple[Turnaround, ...]
    cpu: Mapping[str, float]
    seconds: float
    load: float

    @property
    def at_once(self) -> int:
        """How many."""
        return len(self.jobs)


@dataclass(frozen=True, slots=True)
class Measured:
    """All figures of one model.

    Attributes:
        memory: of one study after the other, the first included, by the names of `footprint.STEPS`.
    """

    model: str
    ct: Ct
    batches: tuple[Batch, ...]
    memory: Mapping[str, Memory]

    def of(self, at_once: int) -> list[Batch]:
        """The batches of so many."""
        return [batch for batch in self.batches if batch.at_once == at_once]

    def median(self, at_once: int, what: Callable[[Turnaround], float]) -> float:
        """In the middle of all jobs of batches of so many."""
        return statistics.median(what(job) for batch in self.of(at_once) for job in batch.jobs)

    def per_minute(self, at_once: int) -> float:
        """Studies a minute: the median of the batches."""
        return statistics.median(steps.per_minute(batch.jobs) for batch in self.of(at_once))

    def others(self, at_once: int) -> float:
        """Cores that were busy with other things meanwhile: the median of the batches."""
        return statistics.median(batch.cpu["others"] * at_once / batch.seconds for batch in self.of(at_once))

    def cpu(self, at_once: int, part: str = "") -> float:
        """Processor seconds a study, of a part or of the whole mesh: the median of the batches."""
        return statistics.median(
            batch.cpu.get(part, 0.0) if part else sum(batch.cpu.values()) - batch.cpu["others"]
            for batch in self.of(at_once)
        )


def run(
    model: str,
    at_once: Sequence[int],
    rounds: int,
    folder: Path,
    *,
    ct: Ct,
    say: Callable[[str], None],
    **overrides: str,
) -> Measured:
    """Measure one model in a mesh of its own.

    Raises:
        RunFailed: a job failed.
    """
    shipped = _alone(model, folder / "models")
    settings = Settings.on_free_ports(folder / "data", PLEXUS_CATALOGUE_SHIPPED_FOLDER=str(shipped), **overrides)
    with Mesh(settings) as mesh, Edge(settings.url("edge")) as edge:
        watch = Footprint(mesh)
        watch.rest()
        say(f"{model}: the first study")
        with watch.watching():
            _batch(mesh, edge, watch, 1, ct)
        batches: list[Batch] = []
        memory: dict[str, Memory] = {}
        for count in sorted({1, *at_once}):
            for number in range(rounds if count == 1 else 1):
                say(f"{model}: {count} at once, round {number + 1}; load {footprint.load():.1f}")
                with watch.watching() if count == 1 else nullcontext():
                    batches.append(_batch(mesh, edge, watch, count, ct))
            memory = memory or watch.memory()
        return Measured(model, ct, tuple(batches), memory)


def _alone(model: str, folder: Path) -> Path:
    """A folder of packages with this one, which its rule chooses."""
    shutil.copytree(REPOSITORY / "models" / model, folder / model, ignore=shutil.ignore_patterns("training"))
    card = folder / model / "model.yaml"
    card.write_text(yaml.safe_dump({**yaml.safe_load(card.read_text()), "automatic": True}, sort_keys=False))
    return folder


def _batch(mesh: Mesh, edge: Edge, watch: Footprint, count: int, ct: Ct) -> Batch:
    """Send so many studies at once, and wait for the results of all."""
    before = footprint.load()
    bodies = [
        data.stow_bodies(data.chest_ct(f"TURNAROUND-{number}", ct.slices, native=ct.native), _A_REQUEST)
        for number in range(count)
    ]
    url = f"{mesh.settings.url('edge')}/dicom-web/studies"
    requests = [lean.post(url, data.RELATED, body) for together in zip(*bodies, strict=True) for body in together]
    watch.begin()
    began = time.monotonic()
    known = {job.id for job in edge.jobs(limit="1000")}
    lean.drive(url, requests, min(_CONNECTIONS, count))
    del bodies, requests
    jobs = _ended(edge, known, count)
    spent, seconds = watch.cpu(), time.monotonic() - began
    told = tuple(_told(mesh, job) for job in jobs)
    return Batch(told, {part: one / count for part, one in spent.items()}, seconds, before)


def _ended(edge: Edge, known: set[str], count: int) -> list[Job]:
    until = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < until:
        jobs = [job for job in edge.jobs(limit="1000") if job.id not in known]
        failed = [job for job in jobs if job.state in (JobState.FAILED, JobState.CANCELLED)]
        if failed:
            raise RunFailed(f"{failed[0].model}: {failed[0].reason}")
        if len(jobs) == count and all(job.state is JobState.COMPLETED for job in jobs):
            return jobs
        time.sleep(_POLL_SECONDS)
    raise RunFailed(f"{count} studies did not complete in {_PATIENCE_SECONDS:.0f} s")


def _told(mesh: Mesh, job: Job) -> Turnaround:
    return steps.turnaround(spans.settled(mesh.settings.spans, job.trace_id), job.id)


def markdown(found: Sequence[Measured]) -> str:
    """The tables."""
    return f"{_times(found)}\n\n{_memory(found)}"


def _times(found: Sequence[Measured]) -> str:
    columns = [(one, count) for one in found for count in sorted({batch.at_once for batch in one.batches})]
    lines = [
        "| seconds, median | " + " | ".join(f"{one.model}, {count} at once" for one, count in columns) + " |",
        "|---|" + "---:|" * len(columns),
    ]

    def row(name: str, cell: Callable[[Measured, int], str]) -> None:
        lines.append(f"| {name} | {' | '.join(cell(one, count) for one, count in columns)} |")

    def seconds(name: str, what: Callable[[Turnaround], float]) -> None:
        row(name, lambda one, count: _number(one.median(count, what)))

    for step in Step:
        seconds(f"*{step}*" if step in WAITS else step, partial(_seconds_of, step))
    seconds("**settled to stored**", lambda job: job.total)
    row("the slowest", lambda one, count: _number(max(job.total for batch in one.of(count) for job in batch.jobs)))
    seconds("overhead: all but compute", lambda job: job.overhead)
    seconds("overhead : compute", lambda job: job.overhead / job.seconds[Step.COMPUTE])
    row("**studies a minute**", lambda one, count: f"{one.per_minute(count):.1f}")
    row("× of one after the other", lambda one, count: f"{one.per_minute(count) / one.per_minute(1):.2f}")
    row("processor seconds a study", lambda one, count: f"{one.cpu(count):.1f}")
    row("of them Triton, model included", lambda one, count: f"{one.cpu(count, 'triton'):.1f}")
    row("cores that others took meanwhile", lambda one, count: f"{one.others(count):.1f}")
    return "\n".join(lines)


def _seconds_of(step: Step, job: Turnaround) -> float:
    return job.seconds[step]


def _memory(found: Sequence[Measured]) -> str:
    volume = found[0].ct.volume_bytes
    lines = [
        f"| process: at rest; above that its own, all resident, × the volume of {volume / 1e6:.0f} MB | step | "
        + " | ".join(one.model for one in found)
        + " |",
        "|---|---|" + "---:|" * len(found),
    ]
    for name, step in footprint.STEPS.items():
        cells = [_memory_of(one.memory[name], volume) if name in one.memory else "–" for one in found]
        lines.append(f"| {name} | {step} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _memory_of(memory: Memory, volume: int) -> str:
    own, resident = (value / volume for value in (memory.own, memory.resident))
    return f"{memory.rest / 1e6:.0f} MB; {own:.1f} ×, {resident:.1f} ×"


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def as_json(found: Sequence[Measured]) -> str:
    """Everything, for programs."""
    what = {
        "machine": {"platform": platform.platform(), "python": platform.python_version(), "cores": os.cpu_count()},
        "models": [asdict(one) for one in found],
    }
    return json.dumps(what, indent=1)
