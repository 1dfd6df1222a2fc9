"""The life of a process: a small service, run for real."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from services.launcher.settings import free_port

SERVICE = """
import asyncio
from fastapi import APIRouter
from services.chassis.faults import PassingFault
from services.chassis.service import Runtime, main
from services.chassis.settings import DatabaseSettings, ServiceSettings, configured

class Settings(DatabaseSettings, ServiceSettings):
    model_config = configured("tested")
    http_port: int = 8199
    fails: str = ""

async def build(settings, frame):
    if settings.fails == "build":
        raise PassingFault("database-unreachable", "PostgreSQL does not answer")
    if settings.fails == "unforeseen":
        raise ValueError("Doe^Jane")
    async def work(stopping):
        if settings.fails == "background":
            async with asyncio.TaskGroup() as group:
                group.create_task(fail())
        await stopping.wait()
        frame.log.info("work.finished")
    async def fail():
        raise PassingFault("bus-unreachable", "NATS does not answer")
    router = APIRouter()
    @router.get("/slow")
    async def slow() -> dict[str, bool]:
        await asyncio.sleep(1)
        return {"done": True}
    frame.parts.callback(frame.log.info, "parts.left")
    async def life(started):
        frame.log.info("life.told", started=started)
    return Runtime(routers=[router], background=[work], life=life)

main("tested", Settings, build)
"""


async def start(**settings: str) -> asyncio.subprocess.Process:
    """The service in a process of its own."""
    root = Path(__file__).resolve().parents[3]
    environment = {f"PLEXUS_TESTED_{name.upper()}": value for name, value in settings.items()}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", SERVICE,
        cwd=root, env={**os.environ, "PYTHONPATH": str(root), **environment},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def ended(process: asyncio.subprocess.Process) -> tuple[int, list[dict[str, Any]], str]:
    """Exit status, log lines and standard error."""
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, [json.loads(line) for line in out.splitlines()], err.decode()


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({}, "PLEXUS_TESTED_DATABASE_URL"),
        ({"database_url": "x", "http_port": "Doe^Jane"}, "PLEXUS_TESTED_HTTP_PORT"),
        ({"database_url": "x", "drain_seconds": "soon"}, "PLEXUS_TESTED_DRAIN_SECONDS"),
    ],
)
async def test_a_wrong_setting_is_named_as_the_operator_knows_it(settings: dict[str, str], named: str) -> None:
    status, lines, err = await ended(await start(**settings))
    assert status == 2
    assert lines == []
    assert err.startswith(f"{named}: ")
    assert "Doe" not in err


async def test_a_service_that_cannot_reach_a_part_says_so_and_ends() -> None:
    for fails, reason in (("build", "database-unreachable"), ("background", "bus-unreachable")):
        status, lines, err = await ended(await start(database_url="x", fails=fails, http_port=str(free_port())))
        assert (status, err) == (1, "")
        assert lines[-1]["event"] == "service.stopped"
        assert lines[-1]["reason"].startswith(f"{reason}: ")


async def test_what_nobody_foresaw_ends_the_process_without_its_text() -> None:
    status, lines, err = await ended(await start(database_url="x", fails="unforeseen"))
    assert status == 1
    assert lines[-1]["error"] == "ValueError"
    assert "Doe" not in err + json.dumps(lines)


async def test_on_sigterm_the_request_in_hand_is_answered_and_the_parts_are_left_last() -> None:
    port = free_port()
    process = await start(database_url="x", http_port=str(port))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        while True:
            try:
                if (await client.get("/readyz")).status_code == 200:
                    break
            except httpx.TransportError:
                await asyncio.sleep(0.05)
        slow = asyncio.create_task(client.get("/slow"))
        await asyncio.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert (await slow).json() == {"done": True}
    status, lines, err = await ended(process)
    assert (status, err) == (0, "")
    events = [line["event"] for line in lines if line["event"] != "library"]
    assert events[0] == "service.starting"
    assert events[-2:] == ["parts.left", "service.stopped"]
    assert "work.finished" in events
    assert [line["started"] for line in lines if line["event"] == "life.told"] == [True, False]
    assert (
        events.index("life.told") < events.index("service.draining") < len(events) - 3 == events.index("life.told", 3)
    )
