"""Where a mesh stands: this machine, or the names of `compose.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.chassis.identity import AUTHORITY, CERTIFICATE, KEY
from services.launcher import registry, secrets
from services.launcher.settings import HOST, REPOSITORY, Settings

_DATABASE_TLS = "?sslmode=verify-full&" + "&".join(
    f"{name}=/run/tls/{file}" for name, file in (("sslrootcert", AUTHORITY), ("sslcert", CERTIFICATE), ("sslkey", KEY))
)


@dataclass(frozen=True, slots=True)
class Local:
    """One machine: everything on loopback, under one data folder."""

    settings: Settings

    def values(self) -> Mapping[str, object]:
        """Addresses, folders and secrets of this machine."""
        settings = self.settings
        return {
            "listen": HOST,
            "port": settings.ports,
            "address": {name: settings.address(name) for name in settings.ports},
            "public": settings.url("edge"),
            "data": settings.data,
            "models": REPOSITORY / "models",
            "triton_python": REPOSITORY / ".venv-triton" / "bin" / "python",
            "secrets": settings.secrets,
            "tls": "",  # loopback
            "bus_scheme": "nats",
            "database_tls": "",
            "secret": secrets.passwords(settings.secrets),
        }


@dataclass(frozen=True, slots=True)
class Compose:
    """`compose.yaml`: a part is reached by its name, on its default port; secrets come from the environment."""

    def values(self) -> Mapping[str, object]:
        """Names, folders and secret references of `compose.yaml`."""
        addresses = {name: f"{registry.OWNERS[name].name}:{port.default}" for name, port in registry.PORTS.items()}
        references = {name: f"${{PLEXUS_SECRET_{name.upper()}:?}}" for name in registry.PASSWORDS}
        return {
            "listen": "0.0.0.0",  # noqa: S104  # inside a container's own network
            "port": {name: port.default for name, port in registry.PORTS.items()},
            "address": addresses,
            "public": "http://127.0.0.1:${PLEXUS_PORT_EDGE:-8080}",
            "data": "/var/lib/plexus",
            "models": "/plexus/models",
            "triton_python": "3.10",
            "secrets": "/run/secrets",
            "tls": "/run/tls",
            "bus_scheme": "tls",
            "database_tls": _DATABASE_TLS,
            "secret": references,
        }
