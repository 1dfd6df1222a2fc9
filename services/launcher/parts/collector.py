"""The local span collector: Triton speaks OTLP only, so somebody must listen."""

from __future__ import annotations

import sys

from services.launcher.parts import probes
from services.launcher.parts.program import Program, base_environment
from services.launcher.settings import REPOSITORY, Settings


class Collector:
    """`python -m services.launcher.collector`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def prepare(self) -> Program:
        """Runs the module with its folder."""
        environment = base_environment() | {
            "PYTHONPATH": str(REPOSITORY),
            "PLEXUS_COLLECTOR_LISTEN": self._settings.address("collector"),
            "PLEXUS_COLLECTOR_FOLDER": str(self._settings.spans),
        }
        return Program((sys.executable, "-P", "-m", "services.launcher.collector"), environment)

    async def ready(self) -> bool:
        """Whether it listens."""
        return await probes.http_status(self._settings.address("collector"), "/healthz") == 200

    def provision(self) -> None:
        """Nothing to do."""

    def tidy(self) -> None:
        """Nothing is left."""
