"""The worklist's settings: `PLEXUS_WORKLIST_*`."""

from __future__ import annotations

from services.chassis.settings import BusSettings, DatabaseSettings, ServiceSettings, configured


class Settings(BusSettings, DatabaseSettings, ServiceSettings):
    """Read once, in `__main__`."""

    model_config = configured("worklist")

    http_port: int = 8104
    archive_address: str = "127.0.0.1:9103"
    catalogue_address: str = "127.0.0.1:9109"
    """The catalogue, which knows the version of each model that is in use."""
    heartbeat_seconds: float = 15.0
    """A stream of events that has nothing to say says so this often, so that nothing between closes it."""
