"""`python -m load_tests.audit`: how many records a second the log keeps, and how fast it is verified.

Starts PostgreSQL and NATS on free ports in a folder of its own, puts records into the stream, then starts the audit
service on them: the rate is that of hearing, hashing, writing durably, acknowledging and signing, without that of
saying. The target is the rate at which the archive serves frames, each recorded by itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final
from uuid import uuid4

import asyncpg
import httpx
import typer
from rich.console import Console

from services.chassis.bus import Bus, connected
from services.chassis.health import Health
from services.chassis.log import Log
from services.contracts import subjects
from services.contracts.events import AuditRecorded
from services.launcher import registry
from services.launcher.mesh import Mesh
from services.launcher.settings import Settings
from services.launcher.site import Local

TARGET: Final = 1500
"""Frames a second that the archive serves (docs/performance.md)."""
_AT_ONCE: Final = 500
_console = Console(stderr=True)
app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured.

    Attributes:
        kept_a_second: records, by the clock.
        cpu_us: of the audit service, for a record.
        verified_a_second: records, the whole log with its tiles.
    """

    records: int
    kept_a_second: float
    cpu_us: float
    verified_a_second: float


def _record() -> AuditRecorded:
    return AuditRecorded(
        record_id=uuid4().hex,
        at="2026-11-21T12:00:00.000Z",
        service="archive",
        action="retrieve",
        outcome="success",
        caller="local",
        source="10.1.2.3",
        study_instance_uid=f"2.25.{uuid4().int}",
        series_instance_uid=f"2.25.{uuid4().int}",
        sop_instance_uid=f"2.25.{uuid4().int}",
        instances=1,
        frames=1,
        trace_id=uuid4().hex,
        detail="frames",
    )


async def _say(bus: Bus, records: int) -> None:
    for start in range(0, records, _AT_ONCE):
        await asyncio.gather(*(bus.say(_record()) for _ in range(min(_AT_ONCE, records - start))))


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(folder: Path, records: int) -> Measured:
    """Fill the stream, then let the service loose on it."""
    settings = Settings.on_free_ports(folder, parts=("postgres", "nats"))
    with Mesh(settings):
        environment = registry.environment(registry.BY_NAME["audit"], Local(settings))
        database = environment["PLEXUS_AUDIT_DATABASE_URL"]
        maker = registry.environment(registry.BY_NAME["ingest"], Local(settings))  # who makes streams, and says records
        async with connected(
            maker["PLEXUS_INGEST_NATS_URL"],
            service="ingest",
            log=Log("load"),
            health=Health(),
            ack_wait_seconds=10,
            dead_subject=subjects.DEAD,
        ) as bus:
            await bus.ensure(subjects.STREAMS)
            await _say(bus, records)
        owner = await asyncpg.connect(database, server_settings={"search_path": "audit"})
        process = subprocess.Popen(  # noqa: ASYNC220  # started once, before anything is measured
            [sys.executable, "-m", "services.audit"], env=os.environ | environment, stdout=subprocess.DEVNULL
        )
        try:
            size, began, cpu = 0, 0.0, 0.0
            while size < records:
                await asyncio.sleep(0.02)
                try:
                    size = await owner.fetchval("SELECT size FROM tree")
                except asyncpg.UndefinedTableError:
                    continue
                if size and not began:
                    first, began, cpu = size, time.perf_counter(), _cpu_seconds(process.pid)
            seconds, cpu = time.perf_counter() - began, _cpu_seconds(process.pid) - cpu
            began = time.perf_counter()
            async with httpx.AsyncClient(base_url=settings.url("audit"), timeout=None) as http:
                verdict = (await http.get("/audit/verify")).raise_for_status().json()
            if not verdict["intact"]:
                raise RuntimeError(f"the log does not hold: {verdict['broken']}")
            verified = time.perf_counter() - began
        finally:
            process.terminate()
            process.wait()
            await owner.close()
    return Measured(records, (records - first) / seconds, cpu / (records - first) * 1e6, records / verified)


@app.command(help=__doc__)
def audit(
    records: Annotated[int, typer.Option(min=1000, help="How many.")] = 20_000,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures here.")] = None,
) -> None:
    """Measure once."""
    with tempfile.TemporaryDirectory(prefix="plexus-audit-") as folder:
        found = asyncio.run(measure(Path(folder), records))
    met = "✓" if found.kept_a_second >= TARGET else "✗"
    print(f"kept       {found.kept_a_second:8.0f} records/s  (target {TARGET}) {met}")
    print(f"CPU        {found.cpu_us:8.0f} µs a record, in the audit service")
    print(f"verified   {found.verified_a_second:8.0f} records/s, with every tile")
    if json_file:
        json_file.write_text(json.dumps(asdict(found), indent=1))


if __name__ == "__main__":
    app()
