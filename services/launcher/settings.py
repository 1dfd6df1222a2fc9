"""The launcher's settings: where the data lies and which ports are used, read once from the environment and flags."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from services.launcher import registry
from services.launcher.errors import LauncherError

REPOSITORY = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
"""On one machine without accounts every edge listens on loopback only (DESIGN.md, "Who asks")."""

_SERVICE_PREFIXES = tuple(f"PLEXUS_{part.name.upper()}_" for part in registry.services())


def _numbers() -> Iterator[int]:
    """Ports below those that Linux gives to clients, which would come in between, from a place of this process' own."""
    first, count = 20000, 12000
    offset = os.getpid() * 4099 % count  # two processes that begin together are far apart
    while True:
        yield from range(first + offset, first + count)
        yield from range(first, first + offset)


_NUMBERS = _numbers()


def free_port() -> int:
    """A TCP port of the loopback that nobody listens on now, and that this process was not given before."""
    while True:
        port = next(_NUMBERS)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
        return port


@dataclass(frozen=True)
class Settings:
    """Data folder, ports, and what the caller's environment sets for single services (`PLEXUS_INGEST_…`)."""

    data: Path
    ports: Mapping[str, int]
    overrides: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[str, ...] = tuple(registry.BY_NAME)
    """What to start: all, unless PLEXUS_PARTS names some (`postgres,nats`)."""

    @classmethod
    def read(cls, environ: Mapping[str, str], *, data: Path | None = None, port_offset: int | None = None) -> Settings:
        """Settings from PLEXUS_DATA, PLEXUS_PORT_OFFSET and PLEXUS_PORT_<NAME>; flags win over the environment.

        Raises:
            LauncherError: a port is not a number between 1 and 65535.
        """
        folder = data or Path(environ.get("PLEXUS_DATA") or REPOSITORY / ".plexus")
        offset = port_offset if port_offset is not None else _number(environ, "PLEXUS_PORT_OFFSET", 0)
        ports = {port.name: _number(environ, port.setting, port.default + offset) for port in registry.PORTS.values()}
        for name, number in ports.items():
            if not 1 <= number <= 65535:
                raise LauncherError(f"port {number} of {name} is not between 1 and 65535")
        overrides = {name: value for name, value in environ.items() if name.startswith(_SERVICE_PREFIXES)}
        parts = tuple(name for name in environ.get("PLEXUS_PARTS", "").split(",") if name)
        if unknown := set(parts) - registry.BY_NAME.keys():
            raise LauncherError(f"PLEXUS_PARTS names no part of the mesh: {', '.join(sorted(unknown))}")
        return cls(folder.absolute(), ports, overrides, parts or tuple(registry.BY_NAME))

    @classmethod
    def on_free_ports(cls, data: Path, *, parts: Iterable[str] = registry.BY_NAME, **overrides: str) -> Settings:
        """Settings for a test's own mesh: every port is one that is free now.

        Args:
            data: its data folder.
            parts: what to start, if not everything; what a part needs must be named too.
            overrides: environment for single services, e.g. `PLEXUS_INGEST_SETTLE_SECONDS="1"`.
        """
        ports = {name: free_port() for name in registry.PORTS}
        return cls(data.absolute(), ports, overrides, tuple(parts))

    def environment(self) -> dict[str, str]:
        """The variables from which `read` makes the same settings again."""
        ports = {registry.PORTS[name].setting: str(number) for name, number in self.ports.items()}
        return {"PLEXUS_DATA": str(self.data), "PLEXUS_PARTS": ",".join(self.parts), **ports, **self.overrides}

    def address(self, port: str) -> str:
        """`host:port` of a port by its name."""
        return f"{HOST}:{self.ports[port]}"

    def url(self, port: str) -> str:
        """The HTTP address of a port by its name."""
        return f"http://{self.address(port)}"

    @cached_property
    def logs(self) -> Path:
        """Where each part's output goes."""
        return self.data / "logs"

    @cached_property
    def spans(self) -> Path:
        """Where spans lie, a file a service."""
        return self.data / "spans"

    @cached_property
    def run(self) -> Path:
        """State, lock and generated configuration."""
        return self.data / "run"

    @cached_property
    def secrets(self) -> Path:
        """Passwords and keys, readable by their owner only."""
        return self.data / "secrets"


def from_process() -> Settings:
    """The settings of this process's own environment."""
    return Settings.read(os.environ)


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name)
    if not text:
        return default
    try:
        return int(text)
    except ValueError:
        raise LauncherError(f"{name} is not a number") from None
