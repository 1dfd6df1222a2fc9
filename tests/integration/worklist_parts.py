"""Two worklist processes on one PostgreSQL and one NATS, and an archive that answers by gRPC."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import grpc.aio
import httpx
import nats
import pytest
import pytest_asyncio
from nats.aio.msg import Msg

from services.chassis import rpc
from services.chassis.bus import Bus, connected
from services.chassis.health import Health
from services.chassis.log import Log
from services.contracts import subjects
from services.contracts.calls import (
    ArchiveServicer,
    InstanceList,
    InstanceRef,
    SeriesDescription,
    SeriesRef,
    add_ArchiveServicer_to_server,
    add_CatalogueServicer_to_server,
)
from services.contracts.card import ModelCard
from services.contracts.events import (
    Result,
    SeriesSettled,
)
from services.launcher.settings import free_port
from tests.conftest import make_streams
from tests.unit.worklist.samples import card
from tests.unit.worklist.test_catalogue import FixedCatalogue

ROOT = Path(__file__).resolve().parents[2]
LUNG = 'series.Modality == "CT" && series.instances >= 20'
BONE = 'series.Modality == "CT" && "AXIAL" in series.ImageType'
OUTSIDE = 'series.instances == 100 && series.Manufacturer == "Outside"'
BROKEN = "series.PixelAspectRatio[0] == 1"

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
CT = {"00080060": {"vr": "CS", "Value": ["CT"]}, "00080008": {"vr": "CS", "Value": ["ORIGINAL", "PRIMARY", "AXIAL"]}}
LOCALIZER = {
    "00080060": {"vr": "CS", "Value": ["CT"]},
    "00080008": {"vr": "CS", "Value": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
}


class Archive(ArchiveServicer):
    """Describes each series as CT, but for those that the test describes otherwise."""

    def __init__(self) -> None:
        self.series: dict[str, Any] = {}

    async def DescribeSeries(self, request: SeriesRef, context: Any) -> SeriesDescription:
        attributes = self.series.get(request.series_instance_uid, CT)
        return SeriesDescription(digest="digest-1", instances=100, attributes=json.dumps(attributes).encode())

    async def ListInstances(self, request: SeriesRef, context: Any) -> InstanceList:
        return InstanceList(
            digest="digest-1", instances=[InstanceRef(sop_class_uid=CT_IMAGE, sop_instance_uid="1.2.3")]
        )


@dataclass
class Mesh:
    """What the tests talk to."""

    bus: Bus
    archive: Archive
    addresses: list[str]
    http: httpx.AsyncClient
    log_files: list[Path]
    environment: dict[str, str]
    said: list[Msg] = field(default_factory=list)
    results: tuple[Result, ...] = (Result("SEG", "1.2", "1.2.3", "1.2.3.4", "1.2.840.10008.5.1.4.1.1.66.4"),)

    async def settle(self, series: Series, revision: int = 1, instances: int = 100) -> None:
        await self.bus.say(SeriesSettled(series.study, series.uid, revision, f"digest-{revision}", instances))

    async def jobs(self, series: Series, *, process: int = 0, **query: str) -> list[dict[str, Any]]:
        """The jobs of a series, oldest first."""
        reply = await self.http.get(f"{self.addresses[process]}/jobs", params={"series": series.uid, **query})
        reply.raise_for_status()
        return list(reversed(reply.json()["jobs"]))

    async def until(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """What `ask` gives once it is true. The test's own time limit ends a wait in vain."""
        while not (answer := await ask()):
            await asyncio.sleep(0.02)
        return answer

    async def lung_job(self, series: Series) -> dict[str, Any]:
        async def ask() -> Any:
            jobs = [job for job in await self.jobs(series) if job["model"] == "ct-lung"]
            return jobs[-1] if jobs and jobs[-1]["state"] != "waiting" else None

        return dict(await self.until(ask))

    async def in_state(self, job_id: str, state: str) -> dict[str, Any]:
        async def ask() -> Any:
            job = (await self.http.get(f"{self.addresses[0]}/jobs/{job_id}")).json()
            return job if job["state"] == state else None

        return dict(await self.until(ask))

    def said_of(self, event: type[Any], job_id: str) -> list[Any]:
        """The facts of a kind that were said of a job."""
        facts = [event.from_bytes(message.data) for message in self.said if message.subject == event.subject]
        return [fact for fact in facts if fact.job_id == job_id]


@dataclass(frozen=True)
class Series:
    """UIDs of a test's own."""

    study: str = field(default_factory=lambda: f"2.25.{uuid4().int}")
    uid: str = field(default_factory=lambda: f"2.25.{uuid4().int}")


def cards() -> list[ModelCard]:
    """What is in use in these tests."""
    rules = {"ct-bone": BONE, "ct-broken": BROKEN, "ct-lung": LUNG}
    # Its rule selects what is asked about alone: the others' tests count jobs.
    outside = ModelCard.from_mapping({**card("ct-outside", selection=OUTSIDE).source, "kind": "external"})
    return [*(card(name, selection=rule) for name, rule in rules.items()), outside]


def answer(archive: Archive, catalogue: FixedCatalogue, server: grpc.aio.Server) -> None:
    """Both answer at one address."""
    add_ArchiveServicer_to_server(archive, server)  # type: ignore[no-untyped-call]
    add_CatalogueServicer_to_server(catalogue, server)  # type: ignore[no-untyped-call]


@pytest.fixture(scope="session")
def own_nats_url(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A NATS server of these tests' own: what other tests say is not heard here."""
    port, folder = free_port(), tmp_path_factory.mktemp("nats")
    process = subprocess.Popen(
        [Path(sys.prefix) / "bin" / "nats-server", "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", folder],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    asyncio.run(make_streams(f"nats://127.0.0.1:{port}"))
    yield f"nats://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


@asynccontextmanager
async def service(environment: dict[str, str], log: Path) -> AsyncIterator[str]:
    """A worklist process; its address, once it is ready. It has to end well."""
    port = free_port()
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "services.worklist",
            cwd=ROOT,
            env={**os.environ, **environment, "PLEXUS_WORKLIST_HTTP_PORT": str(port)},
            stdout=output,
            stderr=output,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        async with httpx.AsyncClient() as http:
            while True:
                assert process.returncode is None, log.read_text()
                try:
                    if (await http.get(f"{address}/readyz")).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)
        yield address
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0, log.read_text()


@pytest_asyncio.fixture(scope="session")
async def worklist_mesh(
    postgres_url: str, own_nats_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Mesh]:
    folder, archive, grpc_port = tmp_path_factory.mktemp("worklist"), Archive(), free_port()
    server = await asyncpg.connect(postgres_url)
    name = f"worklist_{uuid4().hex}"
    await server.execute(f'CREATE DATABASE "{name}"')
    environment = {
        "PLEXUS_WORKLIST_DATABASE_URL": postgres_url.rpartition("/")[0] + f"/{name}",
        "PLEXUS_WORKLIST_NATS_URL": own_nats_url,
        "PLEXUS_WORKLIST_ARCHIVE_ADDRESS": f"127.0.0.1:{grpc_port}",
        "PLEXUS_WORKLIST_CATALOGUE_ADDRESS": f"127.0.0.1:{grpc_port}",
        "PLEXUS_WORKLIST_HEARTBEAT_SECONDS": "0.5",
        "PLEXUS_WORKLIST_JOBS_IN_WORK": "1000",
        "PLEXUS_WORKLIST_PUBLIC_URL": "http://edge.example",
    }
    logs = [folder / "1.log", folder / "2.log"]
    client = await nats.connect(own_nats_url)
    async with (
        rpc.serving(
            "127.0.0.1",
            grpc_port,
            log=Log("test"),
            grace=1,
            add=partial(answer, archive, FixedCatalogue(*cards())),
        ),
        connected(
            own_nats_url,
            service="test",
            log=Log("test"),
            health=Health(),
            ack_wait_seconds=10,
            dead_subject=subjects.DEAD,
        ) as bus,
        service(environment, logs[0]) as one,
        service(environment, logs[1]) as two,
        httpx.AsyncClient(timeout=30) as http,
    ):
        site = Mesh(bus, archive, [one, two], http, logs, environment)

        async def listen(message: Msg) -> None:
            site.said.append(message)

        await client.subscribe("plexus.>", cb=listen)
        yield site
    await client.close()
    await server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await server.close()
