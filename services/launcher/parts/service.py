"""A service of ours: `python -m services.<name>`, with the registry's environment and nothing else."""

from __future__ import annotations

import os
import signal
import sys

from services.launcher import registry
from services.launcher.parts import probes
from services.launcher.parts.program import Program, base_environment
from services.launcher.settings import REPOSITORY, Settings
from services.launcher.site import Local

_FETCHING = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy")
"""How `plexus up` itself fetches packages; the catalogue builds environments in the same way."""


class Service:
    """One of our services."""

    def __init__(self, part: registry.Part, settings: Settings) -> None:
        self._part = part
        self._settings = settings

    def prepare(self) -> Program:
        """Its environment: the registry's templates, then what the caller has set for this very service."""
        prefix = f"PLEXUS_{self._part.name.upper()}_"
        overrides = {name: value for name, value in self._settings.overrides.items() if name.startswith(prefix)}
        fetching = {name: os.environ[name] for name in _FETCHING if name in os.environ}
        environment = (
            base_environment()
            | (fetching if self._part.name == "catalogue" else {})
            | {"PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}
            | registry.environment(self._part, Local(self._settings))
            | overrides
        )
        return Program(
            (sys.executable, "-P", "-m", f"services.{self._part.name}"),
            environment,
            # an orphan is killed: a service survives kill -9 at any moment by design, and nothing may be left running
            orphan_signal=signal.SIGKILL,
        )

    async def ready(self) -> bool:
        """Whether `/readyz` says so."""
        return await probes.http_status(self._settings.address(self._part.name), "/readyz") == 200

    def provision(self) -> None:
        """Nothing to do."""

    def tidy(self) -> None:
        """Nothing is left."""
