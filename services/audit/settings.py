"""The audit log's settings: `PLEXUS_AUDIT_*`."""

from __future__ import annotations

from services.chassis.settings import BusSettings, DatabaseSettings, ServiceSettings, configured


class Settings(BusSettings, DatabaseSettings, ServiceSettings):
    """Read once, in `__main__`."""

    model_config = configured("audit")

    http_port: int = 8108
    records_at_once: int = 16
    """Messages in hand at a time; those that wait together are written in one transaction. 256 is the bus's limit."""
