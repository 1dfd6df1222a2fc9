"""NATS and PostgreSQL by TLS, as Compose starts them: who has no certificate of the mesh is not heard."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import ssl
import struct
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import nats
import pytest
import yaml
from nats.errors import Error as NatsError

from services.chassis import database
from services.chassis.bus import Bus, connected
from services.chassis.health import Health
from services.chassis.identity import AUTHORITY, CERTIFICATE, KEY, Identity
from services.chassis.log import Log
from services.contracts import subjects
from services.launcher import registry
from services.launcher.commands import certificates
from services.launcher.parts.program import BIN
from services.launcher.settings import REPOSITORY, free_port
from services.launcher.site import Compose
from services.store.reader import reading

PASSWORDS = {name: f"k{secrets.token_hex(8)}" for name in registry.PASSWORDS}
COMPOSE = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())["services"]


def command(part: str, tls: Path) -> list[str]:
    """The options of a part in compose.yaml that have to do with TLS, with the files of this test."""
    files = {"/run/tls": str(tls / part), "/etc/plexus/pg_hba.conf": str(REPOSITORY / "deploy/postgres/pg_hba.conf")}
    found = [each for each in COMPOSE[part]["command"] if "tls" in each or "ssl" in each or "hba" in each]
    for inside, here in files.items():
        found = [each.replace(inside, here) for each in found]
    return found


def url_of(service: str, name: str, port: int, tls: Path) -> str:
    """An address as a service has it under Compose, at the port of this test."""
    url = registry.environment(registry.BY_NAME[service], Compose())[f"PLEXUS_{service.upper()}_{name}"]
    url = url.replace("/run/tls", str(tls / service)).replace("@nats:14222", f"@127.0.0.1:{port}")
    url = url.replace("@postgres:15432", f"@127.0.0.1:{port}")
    for secret, value in PASSWORDS.items():
        url = url.replace(f"${{PLEXUS_SECRET_{secret.upper()}:?}}", value)
    return url


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificates of a mesh."""
    folder = tmp_path_factory.mktemp("tls")
    certificates.make(folder, registry.certified(), days=1)
    return folder


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those of another."""
    folder = tmp_path_factory.mktemp("other")
    certificates.make(folder, ["ingest"], days=1)
    return folder


@pytest.fixture(scope="module")
def nats_port(tls: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """NATS with the configuration of deploy/nats and the options of compose.yaml."""
    port, monitor = free_port(), free_port()
    users = {f"PLEXUS_NATS_{user.upper()}_PASSWORD": PASSWORDS[f"nats_{user}"] for user in registry.BUS_USERS}
    own = {"PLEXUS_NATS_HOST": "127.0.0.1", "PLEXUS_NATS_PORT": str(port)}
    own |= {"PLEXUS_NATS_MONITOR": f"127.0.0.1:{monitor}", "PLEXUS_NATS_STORE": str(tmp_path_factory.mktemp("nats"))}
    process = subprocess.Popen(
        [str(BIN / "nats-server"), "--config", str(REPOSITORY / "deploy/nats/nats.conf"), *command("nats", tls)],
        env={**os.environ, **users, **own},
        stderr=subprocess.DEVNULL,
    )
    yield port
    process.terminate()
    process.wait()


@asynccontextmanager
async def bus(service: str, port: int, tls: Path) -> AsyncIterator[Bus]:
    url = url_of(service, "NATS_URL", port, tls)
    assert url.startswith("tls://")
    async with connected(
        url,
        service=service,
        log=Log(service),
        health=Health(),
        ack_wait_seconds=5,
        dead_subject=subjects.DEAD,
        identity=Identity.read(tls / service),
    ) as made:
        yield made


async def test_services_of_both_zones_reach_the_bus_by_tls(tls: Path, nats_port: int) -> None:
    async with bus("ingest", nats_port, tls) as of_ingest:
        await of_ingest.ensure(subjects.STREAMS)
        async with bus("inference", nats_port, tls) as of_inference:
            await of_inference.wait_for(subjects.STREAMS)


async def test_the_bus_hears_nobody_without_a_certificate_of_the_mesh(
    tls: Path, stranger: Path, nats_port: int
) -> None:
    async with bus("ingest", nats_port, tls):  # it is there
        pass
    url = url_of("ingest", "NATS_URL", nats_port, tls)
    once: dict[str, Any] = {"allow_reconnect": False, "max_reconnect_attempts": 0, "connect_timeout": 5}
    bare = Identity(Identity.read(tls / "ingest").authority, b"", b"")
    other = Identity(Identity.read(tls / "ingest").authority, b"", b"", stranger / "ingest")
    for identity in (bare, other, Identity.read(stranger / "ingest")):
        with pytest.raises((NatsError, OSError)):
            await nats.connect(url, tls=identity.context(), **once)


def _binaries() -> Path:
    """A PostgreSQL that speaks TLS, of the system: the one among our requirements was built without."""
    for folder in sorted(
        Path(os.environ.get("PLEXUS_TEST_POSTGRES", "/usr/lib/postgresql")).glob("*/bin"), reverse=True
    ):
        told = subprocess.run([folder / "pg_config", "--configure"], capture_output=True, text=True, check=False).stdout
        if (folder / "initdb").exists() and "openssl" in told:
            return folder
    pytest.skip("there is no PostgreSQL with TLS on this machine (PLEXUS_TEST_POSTGRES=/usr/lib/postgresql)")


@asynccontextmanager
async def before(postgres_url: str, tls: Path) -> AsyncIterator[tuple[int, list[str]]]:
    """What ends TLS before the PostgreSQL of the tests as a server with TLS does (SSLRequest, then the handshake).

    Gives its port, and the names in the certificates of those who came.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(tls / "postgres" / AUTHORITY))
    context.load_cert_chain(tls / "postgres" / CERTIFICATE, tls / "postgres" / KEY)
    context.verify_mode = ssl.CERT_REQUIRED
    there, came = urlsplit(postgres_url), list[str]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readexactly(8)
        assert request == struct.pack(">ii", 8, 80877103)
        writer.write(b"S")
        try:
            await writer.start_tls(context)
            subject = dict(each[0] for each in writer.get_extra_info("peercert")["subject"])
            came.append(subject["commonName"])
            inner, outer = await asyncio.open_connection(there.hostname, there.port)
            await asyncio.gather(_pass_on(reader, outer), _pass_on(inner, writer))
        except (OSError, ssl.SSLError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], came


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def test_a_service_asks_its_database_by_tls_with_its_own_certificate(
    tls: Path, stranger: Path, postgres_url: str, database_url: str
) -> None:
    async with before(postgres_url, tls) as (port, came):
        ours = urlsplit(url_of("archive", "DATABASE_URL", port, tls))
        real = urlsplit(database_url)
        url = ours._replace(netloc=f"{real.username}:{real.password}@127.0.0.1:{port}", path=real.path).geturl()
        await database.migrate(url, package="services.archive", schema="archive")
        async with database.connected(reading(url), schema="archive", size=1, health=Health()) as pool:
            assert await pool.fetchval("SELECT count(*) FROM access_total") == 0
        assert came and set(came) == {"archive"}
        with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):  # a server of another mesh
            await asyncpg.connect(url.replace(f"{tls}/archive/authority", f"{stranger}/ingest/authority"))


@pytest.fixture(scope="module")
def postgres_port(tls: Path, parts_folder: Path) -> Iterator[int]:
    """PostgreSQL with the options of compose.yaml, and the roles of `ingest` and `archive`."""
    binaries = _binaries()
    folder, port = parts_folder / "tls-postgres", free_port()
    folder.mkdir(mode=0o700)
    (folder / "password").write_text(PASSWORDS["postgres"])
    drop = ["unshare", "--user", "--map-user=65534", "--map-group=65534"] if os.geteuid() == 0 else []
    subprocess.run(
        [*drop, binaries / "initdb", "-D", folder / "data", "-U", "postgres", "--auth=scram-sha-256", "--no-sync",
         f"--pwfile={folder / 'password'}", "-E", "UTF8", "--locale=C"],
        check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    log = (parts_folder / "tls-postgres.log").open("wb")
    process = subprocess.Popen(
        [*drop, binaries / "postgres", "-D", folder / "data", "-h", "127.0.0.1", "-p", str(port), "-k", folder,
         *command("postgres", tls)],
        stderr=log,
    )  # fmt: skip
    ready = [binaries / "pg_isready", "-q", "-h", folder, "-p", str(port)]
    while subprocess.run(ready, check=False).returncode:
        assert process.poll() is None, (parts_folder / "tls-postgres.log").read_text()
        time.sleep(0.05)
    asyncio.run(_provision(folder, port))
    yield port
    process.send_signal(signal.SIGINT)
    process.wait()
    log.close()


async def _provision(folder: Path, port: int) -> None:
    """What provision.sql makes, as far as this test needs it: through the socket in the container."""
    root: dict[str, Any] = {"host": str(folder), "port": port, "user": "postgres", "password": PASSWORDS["postgres"]}
    connection = await asyncpg.connect(database="postgres", **root)
    await connection.execute("CREATE DATABASE plexus")
    for role in ("ingest", "archive"):
        await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{PASSWORDS[f'postgres_{role}']}'")
    await connection.execute("GRANT CREATE ON DATABASE plexus TO archive")
    await connection.close()


async def test_a_service_migrates_and_reads_its_database_by_tls(tls: Path, postgres_port: int) -> None:
    url = url_of("archive", "DATABASE_URL", postgres_port, tls)
    await database.migrate(url, package="services.archive", schema="archive")
    async with database.connected(url, schema="archive", size=1, health=Health()) as pool:
        assert await pool.fetchval("SELECT count(*) FROM access_total") == 0
        assert await pool.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")


async def test_the_database_hears_nobody_without_the_certificate_of_the_role(
    tls: Path, stranger: Path, postgres_port: int
) -> None:
    url = url_of("archive", "DATABASE_URL", postgres_port, tls)
    ingests = url.replace(f"{tls}/archive/certificate", f"{tls}/ingest/certificate").replace(
        f"{tls}/archive/key", f"{tls}/ingest/key"
    )
    plain, _, query = url.partition("?")
    bare = f"{plain}?{'&'.join(each for each in query.split('&') if 'cert=' not in each or 'root' in each)}"
    bare = "&".join(each for each in bare.split("&") if not each.startswith("sslkey"))
    for wrong in (f"{plain}?sslmode=disable", bare, ingests):
        with pytest.raises((asyncpg.InvalidAuthorizationSpecificationError, OSError)):
            await asyncpg.connect(wrong)
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):  # a server of another mesh
        await asyncpg.connect(url.replace(f"{tls}/archive/authority", f"{stranger}/ingest/authority"))
