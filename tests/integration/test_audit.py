"""The audit service as a process: hears from NATS, keeps in PostgreSQL, answers by HTTP."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
import pytest_asyncio
from typer.testing import CliRunner

from services.chassis.bus import Bus, connected
from services.chassis.health import Health
from services.chassis.log import Log
from services.contracts import subjects
from services.contracts.events import AuditRecorded
from services.launcher.cli import app
from services.launcher.settings import free_port

ROOT = Path(__file__).resolve().parents[2]


def recorded(number: int) -> AuditRecorded:
    return AuditRecorded(
        f"{number:032x}",
        "2026-11-21T12:00:00Z",
        "archive",
        "retrieve",
        "success",
        caller="local",
        study_instance_uid=f"1.2.{number % 10}",
        detail="frames",
    )


@pytest.fixture
def own_nats_url(tmp_path: Path) -> Any:
    """A NATS server of this test's own: its stream holds nothing else."""
    port = free_port()
    process = subprocess.Popen(
        [Path(sys.prefix) / "bin" / "nats-server", "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", tmp_path / "nats"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    yield f"nats://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


@dataclass
class Service:
    """The audit service, its address, and the bus that it hears."""

    environment: dict[str, str]
    bus: Bus
    http: httpx.AsyncClient
    log: Path
    folder: Path
    process: asyncio.subprocess.Process | None = None
    starts: int = 0

    async def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "services.audit", cwd=ROOT, env=self.environment, stdout=output, stderr=output
            )
        self.starts += 1  # each is a record
        while True:
            assert self.process.returncode is None, self.log.read_text()
            try:
                if (await self.http.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)

    async def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return await self.process.wait()

    async def verified(self, records: int) -> dict[str, Any]:
        """The verdict, once the log has as many records, starts and the verifications themselves aside."""
        asked = self.starts
        while True:
            verdict = dict((await self.http.get("/audit/verify")).json())
            assert verdict["broken"] is None
            if verdict["records"] - asked >= records:
                assert verdict["records"] - asked == records
                return verdict
            asked += 1
            await asyncio.sleep(0.05)


@pytest_asyncio.fixture
async def service(own_nats_url: str, database_url: str, tmp_path: Path) -> AsyncIterator[Service]:
    port = free_port()
    environment = {
        **os.environ,
        "PLEXUS_AUDIT_DATABASE_URL": database_url,
        "PLEXUS_AUDIT_NATS_URL": own_nats_url,
        "PLEXUS_AUDIT_HTTP_PORT": str(port),
        "PLEXUS_AUDIT_FOLDER": str(tmp_path / "tree"),
        "PLEXUS_AUDIT_KEY_FILE": str(tmp_path / "secrets" / "audit.key"),
        "PLEXUS_AUDIT_CHECKPOINT_SECONDS": "0.2",
        "PLEXUS_AUDIT_ACK_WAIT_SECONDS": "2",
    }
    async with AsyncExitStack() as parts:
        bus = await parts.enter_async_context(
            connected(
                own_nats_url,
                service="test",
                log=Log("test"),
                health=Health(),
                ack_wait_seconds=10,
                dead_subject=subjects.DEAD,
            )
        )
        await bus.ensure(subjects.STREAMS)
        http = await parts.enter_async_context(httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60))
        running = Service(environment, bus, http, tmp_path / "audit.log", tmp_path)
        await running.start()
        yield running
        assert await running.stop() == 0, running.log.read_text()


async def test_what_services_record_is_kept_once_and_can_be_read_and_verified(service: Service) -> None:
    for _ in range(2):  # each is said twice, under ids of their own: as by two relays
        await asyncio.gather(*(service.bus.say(recorded(number)) for number in range(50)))
    verdict = await service.verified(50)
    assert (verdict["intact"], verdict["broken"], verdict["guarded"]) == (True, None, True)
    page = (await service.http.get("/audit", params={"study": "1.2.7", "action": "retrieve"})).json()
    assert sorted(record["record_id"] for record in page["records"]) == [f"{n:032x}" for n in (7, 17, 27, 37, 47)]
    assert page["next"] is None
    (reading, *_) = (await service.http.get("/audit", params={"action": "audit-read"})).json()["records"]
    assert (reading["caller"], reading["study_instance_uid"], reading["instances"]) == ("local", "1.2.7", 5)


async def test_kills_in_the_middle_lose_nothing_and_double_nothing(service: Service) -> None:
    saying = asyncio.gather(*(service.bus.say(recorded(number)) for number in range(3000)))
    for _ in range(2):
        await asyncio.sleep(0.15)
        assert await service.stop(signal.SIGKILL) == -signal.SIGKILL
        await service.start()
    await saying
    verdict = await service.verified(3000)
    assert verdict["intact"]


async def test_the_command_line_verifies_proves_and_witnesses_and_tells_by_its_exit_code(
    service: Service, database_url: str
) -> None:
    url = f"{service.http.base_url}/audit"
    folder = service.folder
    await asyncio.gather(*(service.bus.say(recorded(number)) for number in range(300)))
    await service.verified(300)

    async def plexus(*arguments: str | Path) -> tuple[int, str]:
        done = await asyncio.to_thread(CliRunner().invoke, app, ["audit", *map(str, arguments)])
        return done.exit_code, done.output

    key = (await service.http.get("/audit/key")).text.strip()
    assert (folder / "secrets" / "audit.key").stat().st_mode & 0o777 == 0o600
    (folder / "key").write_text(key)
    witness = ("witness", "--url", url, "--key", folder / "key", "--folder", folder / "w", "--name", "w.example")
    code, told = await plexus(*witness)
    assert code == 0, told
    assert "does not know this witness" in told
    witnessed = folder / "w" / "checkpoint"
    size = int(witnessed.read_text().split("\n")[1])
    shutil.copytree(folder / "tree", folder / "before")

    code, told = await plexus("verify", "--url", url, "--key", key)
    assert (code, told.startswith("The log holds: ")) == (0, True), told
    code, told = await plexus("verify", "--url", url, "--key", key, "--since", witnessed)
    assert (code, f"after the {size} of the checkpoint" in told) == (0, True), told
    code, told = await plexus("verify", "--url", url, "--key", f"{key[:-2]}AA")
    assert code == 1, told

    proof = folder / "proof"
    assert (await plexus("prove", f"{7:032x}", "--url", url, "-o", proof))[0] == 0
    code, told = await plexus("check", proof, "--key", folder / "key")
    assert (code, f"{7:032x}" in told) == (0, True), told
    proof.write_text(proof.read_text().replace("\nindex ", "\nindex 1"))
    assert (await plexus("check", proof, "--key", key))[0] == 3
    assert (await plexus("prove", "nobody", "--url", url))[0] == 1

    database = await asyncpg.connect(database_url, server_settings={"search_path": "audit"})
    await database.execute("ALTER TABLE records DISABLE TRIGGER erase_only")
    await database.execute("UPDATE records SET record = set_byte(record, 9, 65) WHERE record_id = $1", f"{7:032x}")
    await database.execute("ALTER TABLE records ENABLE ALWAYS TRIGGER erase_only")
    seq = await database.fetchval("SELECT seq FROM records WHERE record_id = $1", f"{7:032x}")
    await database.close()
    code, told = await plexus("verify", "--url", url, "--key", key)
    assert (code, f"record {seq} ({7:032x}) does not say" in told) == (3, True), told

    # The log is put back to an earlier state behind the witness's back: it does not sign, and keeps the evidence.
    newer = witnessed.read_text()
    assert (await plexus(*witness))[0] == 0
    assert witnessed.read_text() != newer
    await service.stop()
    shutil.rmtree(folder / "tree")
    shutil.copytree(folder / "before", folder / "tree")
    port = free_port()
    static = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "http.server", "-b", "127.0.0.1", str(port), "-d", folder / "before",
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while True:
            with suppress(httpx.TransportError):
                httpx.get(f"http://127.0.0.1:{port}/checkpoint")
                break
            await asyncio.sleep(0.05)
        code, told = await plexus(*(f"http://127.0.0.1:{port}" if each == url else each for each in witness))
        assert (code, "Not signed" in told) == (3, True), told
        assert list((folder / "w").glob("refused-*"))
    finally:
        static.terminate()
        await static.wait()
        shutil.rmtree(folder / "tree")
        await service.start()


async def test_what_is_no_record_is_kept_aside_and_the_rest_goes_on(service: Service) -> None:
    await service.bus.publish(subjects.AUDIT_RECORDED, b"\xff\xff", {"Nats-Msg-Id": "x"})
    await service.bus.say(recorded(1))
    await service.verified(1)
    assert '"unreadable-event"' in service.log.read_text()


async def test_no_log_line_holds_what_was_asked(service: Service) -> None:
    reply = await service.http.get("/audit", params={"study": "Doe^Jane"})
    assert reply.status_code == 400
    await service.http.get("/audit", params={"user": "Doe^Jane"})
    assert "Doe" not in reply.text
    assert "Doe" not in service.log.read_text()
