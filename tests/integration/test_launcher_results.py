"""`plexus results`: what could not be sent on is listed with the reason, and sent again from where it came."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import ConsumerConfig, StreamConfig
from nats.js.errors import NotFoundError
from typer.testing import CliRunner

from services.chassis.bus import headers_of
from services.contracts import subjects
from services.contracts.events import Result, ResultsDue
from services.launcher.cli import app
from services.launcher.mesh import Mesh
from services.launcher.settings import Settings

URL = "https://pacs.example/dicom-web"
QUEUE, CONSUMER = subjects.RESULT_QUEUES[1], "bridge-results-due-2"


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    folder: Path = tmp_path_factory.mktemp("results")
    with Mesh(Settings.on_free_ports(folder, parts=["nats"])) as mesh:
        yield mesh


@asynccontextmanager
async def bus(mesh: Mesh, user: str) -> AsyncIterator[Client]:
    password = (mesh.settings.secrets / f"nats_{user}").read_text()
    client = await nats.connect(
        f"nats://{user}:{password}@{mesh.address('nats')}", inbox_prefix=f"_INBOX_{user}".encode()
    )
    try:
        yield client
    finally:
        await client.close()


async def plexus(mesh: Mesh, *arguments: str) -> str:
    """What the command says."""
    told = ["results", *arguments, "--data", str(mesh.settings.data)]
    done = await asyncio.to_thread(CliRunner().invoke, app, told)
    assert done.exit_code == 0, done.output
    return done.output


async def test_what_was_given_up_is_told_and_sent_again(mesh: Mesh) -> None:
    results = tuple(Result(kind, "1.1", "1.2", f"1.3.{kind}", "1.4") for kind in ("SEG", "SR"))
    async with bus(mesh, "operator") as operator, bus(mesh, "bridge") as bridge:
        for stream in subjects.STREAMS:
            await operator.jetstream().add_stream(StreamConfig(name=stream.name, subjects=list(stream.subjects)))
        assert await plexus(mesh, "list") == "Nothing was given up.\n"
        assert await plexus(mesh, "send") == "Nothing was given up.\n"
        for job in ("one", "two"):
            due = ResultsDue(job, URL, results)
            headers = {
                **headers_of(due.schema, f"dead.{CONSUMER}.{job}.due"),
                "Plexus-Subject": QUEUE,
                "Plexus-Reason-Code": "peer-forbids",
            }
            await bridge.jetstream().publish(f"{subjects.DEAD}.{CONSUMER}", due.to_bytes(), headers=headers)
        await bridge.jetstream().publish(f"{subjects.DEAD}.{CONSUMER}", b"\xff\xff", headers={"Nats-Msg-Id": "junk"})
        told = json.loads(await plexus(mesh, "list", "--json"))
        assert [(one["job"], one["destination"], one["kinds"], one["reason"]) for one in told] == [
            (job, URL, ["SEG", "SR"], "peer-forbids") for job in ("one", "two")
        ]
        assert "peer-forbids" in await plexus(mesh, "list")
        assert await plexus(mesh, "send", "two") == "1 jobs' results are on their way again.\n"
        assert [one["job"] for one in json.loads(await plexus(mesh, "list", "--json"))] == ["one"]
        queue = await bridge.jetstream().pull_subscribe(QUEUE, CONSUMER, subjects.HOSPITAL.name, ConsumerConfig())
        (message,) = await queue.fetch(1, timeout=5)
        assert ResultsDue.from_bytes(message.data) == ResultsDue("two", URL, results)
        assert message.headers is not None
        assert message.headers["Nats-Msg-Id"].startswith("two.again.")
        assert "Plexus-Reason-Code" not in message.headers
        await message.ack_sync()
        assert await plexus(mesh, "send") == "1 jobs' results are on their way again.\n"
        with pytest.raises(NotFoundError):
            await operator.jetstream().get_msg(subjects.DEAD_LETTERS.name, 1)
    with pytest.raises(AssertionError, match="no results of these jobs"):
        await plexus(mesh, "send", "three")
