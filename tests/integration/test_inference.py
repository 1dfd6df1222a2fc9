"""`inference` with a real Triton, a real NATS and a work store on disk."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import numpy as np
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from services.chassis import bus as buses
from services.chassis import telemetry
from services.chassis.bus import Bus
from services.chassis.faults import Fault
from services.chassis.health import Health
from services.chassis.log import Log
from services.contracts import subjects
from services.contracts.card import ModelCard
from services.contracts.events import (
    JobFailed,
    JobInferred,
    JobProgressed,
    JobReleased,
    JobStopped,
    ShadowCompared,
    ShadowRequested,
)
from services.contracts.work import manifest_key, result_key
from services.inference.adapters import shared_memory, triton
from services.inference.adapters.triton import TritonServer
from services.inference.errors import ModelFailed, ModelNotLoaded, ModelTooSlow, OutputMismatch, TritonUnavailable
from services.inference.model import Geometry, Prediction
from services.inference.promises import check
from services.inference.settings import SharedMemory
from services.inference.stopping import Stopping
from services.launcher.settings import free_port
from tests.integration.inference_parts import trouble_card
from tests.packages import keep_shipped, shipped_cards
from tests.unit.models.phantom import SPACING, Chest, chest, dice

ROOT = Path(__file__).resolve().parents[2]
LOG = Log("test")


def geometry_of(volume: np.ndarray, spacing: tuple[float, float, float] = (2.5, 1, 1)) -> Geometry:
    return Geometry(tuple(range(len(volume))), volume.shape, spacing, np.eye(3))


@asynccontextmanager
async def server(address: str, mode: SharedMemory = SharedMemory.AUTO) -> AsyncIterator[TritonServer]:
    async with triton.connected(address, shared_memory=mode, log=LOG, health=Health()) as connected:
        yield connected


async def ask(
    address: str, volume: np.ndarray, card: ModelCard, mode: SharedMemory = SharedMemory.AUTO
) -> tuple[Prediction, str]:
    """The answer of a model, copied out of its room, and how it travelled."""
    async with server(address, mode) as models, models.room(card, volume.shape) as room:
        room.volume[:] = volume
        answer = await room.infer(geometry_of(volume, tuple(SPACING)))
        check(answer, card, volume.shape)
        return Prediction(answer.labels.copy(), answer.measurements.copy()), room.means


@pytest.fixture(scope="module")
def phantom() -> Chest:
    return chest()


@pytest.fixture(scope="module")
def cards() -> dict[str, ModelCard]:
    return shipped_cards()


def trouble(first_voxel: int) -> np.ndarray:
    volume = np.zeros((4, 5, 6), np.int16)
    volume[0, 0, 0] = first_voxel
    return volume


@pytest.mark.parametrize(("mode", "means"), [(SharedMemory.AUTO, "shared memory"), (SharedMemory.OFF, "gRPC")])
async def test_ct_lung_finds_the_lungs_of_the_phantom_however_tensors_travel(
    triton_address: str,
    cards: dict[str, ModelCard],
    phantom: Chest,
    mode: SharedMemory,
    means: str,
) -> None:
    answer, travelled = await ask(triton_address, phantom.hu, cards["ct-lung"], mode)
    assert travelled == means
    assert dice(answer.labels == 1, phantom.left) > 0.98
    assert dice(answer.labels == 2, phantom.right) > 0.98
    assert answer.measurements[0, 0] == pytest.approx(np.count_nonzero(answer.labels == 1) * np.prod(SPACING) / 1000)


async def test_a_job_that_is_stopped_leaves_its_model_alone(triton_address: str) -> None:
    answered, asked = asyncio.Event(), asyncio.Event()
    event = JobReleased("job-1", "trouble", "1.0.0", manifest_key("job-1"), 4)

    async def nothing(_: str) -> bool:
        return False

    async def infer(_: JobReleased) -> None:
        async with server(triton_address) as models, models.room(trouble_card(), (4, 5, 6)) as room:
            room.volume[:] = trouble(2)  # takes three seconds
            asked.set()
            await room.infer(geometry_of(trouble(2)))
            answered.set()

    stopping = Stopping(nothing)
    running = asyncio.create_task(stopping.run(event, infer))
    await asked.wait()
    await asyncio.sleep(0.1)
    await stopping.hear(JobStopped("job-1").to_bytes())
    assert await running is False
    assert not answered.is_set()
    async with server(triton_address) as models:  # Triton goes on with it, and lets go of the room when it is done
        while not await models.sweep_once():
            await asyncio.sleep(0.2)


async def test_ct_bone_finds_the_spine_of_the_phantom(
    triton_address: str,
    cards: dict[str, ModelCard],
    phantom: Chest,
) -> None:
    answer, _ = await ask(triton_address, phantom.hu, cards["ct-bone"])
    assert dice(answer.labels == 1, phantom.bones) > 0.95


async def test_nothing_is_left_in_shared_memory_after_a_job(triton_address: str) -> None:
    def held() -> set[str]:
        """The regions that this process has open: another mesh may run on this machine."""
        links = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return {link.name for link in links if link.name.startswith(shared_memory.PREFIX)}

    async with server(triton_address) as models:
        async with models.room(trouble_card(), (4, 5, 6)):
            names = held()
            assert len(names) == 2
        assert not any((shared_memory.FOLDER / name).exists() for name in names)
        assert await models.sweep_once()


@pytest.mark.parametrize("mode", [SharedMemory.ON, SharedMemory.OFF])
@pytest.mark.parametrize(
    ("first_voxel", "fault", "words"),
    [
        (1, ModelFailed, "the first voxel is one"),
        (3, OutputMismatch, "labels"),
        (5, OutputMismatch, "measurements are 2 x 2"),
        (6, (OutputMismatch, ModelFailed), "labels|size"),
    ],
)
async def test_what_a_model_throws_or_answers_wrongly_is_a_permanent_fault_with_its_words(
    triton_address: str,
    mode: SharedMemory,
    first_voxel: int,
    fault: type[Fault] | tuple[type[Fault], ...],
    words: str,
) -> None:
    with pytest.raises(fault, match=words):
        await ask(triton_address, trouble(first_voxel), trouble_card(), mode)


async def test_a_model_that_is_too_slow_is_stopped_waiting_for_and_its_memory_is_swept_up(
    triton_address: str,
) -> None:
    async with server(triton_address) as models:
        async with models.room(trouble_card(0.5), (4, 5, 6)) as room:
            room.volume[:] = trouble(2)
            with pytest.raises(ModelTooSlow, match=r"within 0\.5 s"):
                await room.infer(geometry_of(room.volume))
        # Triton is still writing into the room: it keeps its own mapping, and forgets it when it is asked again.
        while not await models.sweep_once():
            await asyncio.sleep(0.2)


async def test_a_model_whose_process_dies_is_a_passing_fault_and_is_started_again(triton_address: str) -> None:
    with pytest.raises(TritonUnavailable):
        await ask(triton_address, trouble(4), trouble_card())
    answer, _ = await ask(triton_address, trouble(0), trouble_card())
    assert not answer.labels.any()


async def test_a_model_that_triton_does_not_serve_is_a_passing_fault(triton_address: str) -> None:
    card = ModelCard.from_mapping({**trouble_card().source, "name": "nowhere"})
    with pytest.raises(ModelNotLoaded):
        await ask(triton_address, trouble(0), card)


async def test_a_triton_that_is_away_is_a_passing_fault_and_not_ready() -> None:
    health = Health()
    health.started = True
    async with triton.connected(
        f"127.0.0.1:{free_port()}", shared_memory=SharedMemory.OFF, log=LOG, health=health
    ) as models:
        assert await health.failing() == ["triton"]
        async with models.room(trouble_card(), (4, 5, 6)) as room:
            with pytest.raises(TritonUnavailable):
                await room.infer(geometry_of(room.volume))


async def test_the_trace_tells_where_the_time_went_inside_triton(
    triton_address: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer("test"))
    with telemetry.span("job"):
        await ask(triton_address, trouble(0), trouble_card())
    *steps, job = sorted(kept.get_finished_spans(), key=lambda span: (span.name == "job", span.start_time or 0))
    assert [span.name for span in steps] == ["triton queue", "triton input", "triton compute", "triton output"]
    for step, following in pairwise(steps):
        assert step.end_time == following.start_time
    for step in steps:
        assert step.parent == job.context
        assert step.attributes == {"plexus.mean_of": 1}
        assert job.start_time <= step.start_time <= step.end_time <= job.end_time


class Job:
    """A released job in a work store on disk, with the sample as its input."""

    def __init__(self, folder: Path, files: list[Path], model: str = "ct-lung") -> None:
        self.id, self.work = f"job-{uuid4().hex[:12]}", folder / "work"
        self.input = self.work / "jobs" / self.id / "input"
        self.input.mkdir(parents=True)
        instances = []
        for number, path in enumerate(files):
            data = path.read_bytes()
            (self.input / f"{number:05}.dcm").write_bytes(data)
            digest = hashlib.sha256(data).hexdigest()
            instances.append({"file": f"{number:05}.dcm", "sop_instance_uid": f"2.25.{number + 1}", "sha256": digest})
        manifest = {
            "schema": 1, "job_id": self.id, "model": model, "model_version": "1.1.0", "instances": instances
        }  # fmt: skip
        (self.input / "manifest.json").write_text(json.dumps(manifest))
        self.released = JobReleased(self.id, model, "1.1.0", manifest_key(self.id), len(files))

    def result(self) -> tuple[Any, Any]:
        file = np.load(BytesIO((self.work / result_key(self.id)).read_bytes()), allow_pickle=False)
        return file, json.loads(file["meta"].tobytes())


@asynccontextmanager
async def service(job: Job, nats_url: str, triton_grpc: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The service as its own process, ready."""
    keep_shipped(job.work.parent / "packages")
    port = free_port()
    environment = {
        **os.environ,
        "PLEXUS_INFERENCE_HTTP_PORT": str(port),
        "PLEXUS_INFERENCE_NATS_URL": nats_url,
        "PLEXUS_INFERENCE_WORK_URL": f"file://{job.work}",
        "PLEXUS_INFERENCE_PACKAGES_FOLDER": str(job.work.parent / "packages"),
        "PLEXUS_INFERENCE_TRITON_ADDRESS": triton_grpc,
        "PLEXUS_INFERENCE_ACK_WAIT_SECONDS": "2",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.inference", env=environment, cwd=ROOT, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        async with httpx.AsyncClient() as http:
            while True:
                assert process.returncode is None
                try:
                    if (await http.get(f"http://127.0.0.1:{port}/readyz")).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.1)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


@pytest.fixture
async def bus(nats_url: str) -> AsyncIterator[Bus]:
    async with buses.connected(
        nats_url, service="test", log=LOG, health=Health(), ack_wait_seconds=10, dead_subject=subjects.DEAD
    ) as connected:
        await connected.ensure(subjects.STREAMS)
        yield connected


class Heard:
    """What is said about one job."""

    def __init__(self, bus: Bus, job: Job) -> None:
        self._bus, self._job = bus, job
        self.inferred: list[JobInferred] = []
        self.failed: list[JobFailed] = []
        self.infers = asyncio.Event()
        self.ended = asyncio.Event()

    async def start(self) -> None:
        await self._bus.overhear(subjects.JOB_PROGRESSED, self._on_progressed)
        await self._bus.overhear(subjects.JOB_INFERRED, self._on_inferred)
        await self._bus.overhear(subjects.JOB_FAILED, self._on_failed)

    async def _on_progressed(self, data: bytes) -> None:
        event = JobProgressed.from_bytes(data)
        if event.job_id == self._job.id and event.step == "infer":
            self.infers.set()

    async def _on_inferred(self, data: bytes) -> None:
        event = JobInferred.from_bytes(data)
        if event.job_id == self._job.id:
            self.inferred.append(event)
            self.ended.set()

    async def _on_failed(self, data: bytes) -> None:
        event = JobFailed.from_bytes(data)
        if event.job_id == self._job.id:
            self.failed.append(event)
            self.ended.set()


@pytest.fixture(scope="module")
def slices(sample: Path) -> list[Path]:
    return sorted(sample.glob("*.dcm"))


@pytest.fixture
def leaves_no_shared_memory() -> Iterator[None]:
    yield
    assert shared_memory.remove_leftovers() == []  # of whoever is dead: what another mesh uses is not touched


async def test_a_killed_service_finishes_the_job_after_its_restart_and_leaves_nothing(
    nats_url: str,
    triton_address: str,
    bus: Bus,
    tmp_path: Path,
    slices: list[Path],
    leaves_no_shared_memory: None,
) -> None:
    job = Job(tmp_path, slices)
    heard = Heard(bus, job)
    await heard.start()
    async with service(job, nats_url, triton_address) as process:
        await bus.say(job.released)
        await heard.infers.wait()
        process.send_signal(signal.SIGKILL)
        await process.wait()
    assert not (job.work / result_key(job.id)).exists()
    async with service(job, nats_url, triton_address):
        await heard.ended.wait()
    assert not heard.failed
    assert {one.digest for one in heard.inferred} == {
        hashlib.sha256((job.work / result_key(job.id)).read_bytes()).hexdigest()
    }
    file, meta = job.result()
    assert meta["frames"] == [[f"2.25.{number}", 1] for number in range(100, 0, -1)]  # file 1 is the slice at the top
    litres = file["measurements"][:, 0].sum() / 1000
    assert 2.5 < litres < 8
    assert np.count_nonzero(file["labels"]) * 2.5 * 0.898438**2 / 1e6 == pytest.approx(litres, rel=1e-4)


async def test_a_job_that_cannot_be_done_fails_with_a_reason_that_a_person_can_read(
    nats_url: str,
    triton_address: str,
    bus: Bus,
    tmp_path: Path,
    slices: list[Path],
) -> None:
    job = Job(tmp_path, [*slices[:5], *slices[9:12]])
    heard = Heard(bus, job)
    await heard.start()
    async with service(job, nats_url, triton_address):
        await bus.say(job.released)
        await heard.ended.wait()
    (failed,) = heard.failed
    assert (failed.step, failed.reason_code) == ("assemble", "missing-slices")
    assert failed.reason == (
        "the series is not a volume: about 4 slices are missing in 1 gap; "
        "send what is missing, and the job is made anew by itself"
    )


async def test_a_version_in_shadow_waits_for_the_jobs_and_leaves_figures_alone(
    nats_url: str,
    triton_address: str,
    bus: Bus,
    tmp_path: Path,
    slices: list[Path],
) -> None:
    done, next_one = Job(tmp_path, slices[:12]), Job(tmp_path, slices[:12])
    compared: asyncio.Queue[ShadowCompared] = asyncio.Queue()

    async def on_compared(data: bytes) -> None:
        await compared.put(ShadowCompared.from_bytes(data))

    await bus.overhear(subjects.SHADOW_COMPARED, on_compared)
    first, second = Heard(bus, done), Heard(bus, next_one)
    await first.start()
    await second.start()
    async with service(done, nats_url, triton_address):
        await bus.say(done.released)
        await first.ended.wait()
        files = set(done.work.rglob("*"))
        await bus.say(next_one.released)
        await bus.say(ShadowRequested(done.id, "ct-lung", "1.1.0", "1.1.0"))  # beside itself: it agrees with itself
        said = await compared.get()
        assert second.ended.is_set()
    assert (said.job_id, said.candidate, said.reason_code) == (done.id, "1.1.0", "")
    assert {figure.name for figure in said.figures} >= {"Left lung", "Right lung"}
    assert all(figure.active == figure.candidate for figure in said.figures if figure.active == figure.active)
    assert {figure.dice for figure in said.figures if figure.kind == "label"} == {1.0}
    assert set(done.work.rglob("*")) - files == {done.work / result_key(next_one.id)}
