"""What an operator can set: `PLEXUS_ARCHIVE_*`."""

from __future__ import annotations

from pydantic import Field

from services.chassis.settings import (
    BusSettings,
    DatabaseSettings,
    LinkSettings,
    RpcSettings,
    ServiceSettings,
    configured,
)


class Settings(LinkSettings, RpcSettings, BusSettings, DatabaseSettings, ServiceSettings):
    """Settings of the archive."""

    model_config = configured("archive")
    http_port: int = 8103
    grpc_port: int = 9103
    objects_url: str
    """Where ingest puts objects: `file:///absolute/path`."""
    max_results: int = Field(1000, ge=1, le=100_000)
    """At most so many answers to one query; a client that wants more asks again with an offset."""
    recent_bytes: int = Field(64 * 1024**2, ge=0)
    """How much prepared metadata is held in memory, beside the database."""
