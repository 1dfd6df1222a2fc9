"""What an operator can set: `PLEXUS_INGEST_*`."""

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
from services.store.model import Policy


class Settings(LinkSettings, RpcSettings, BusSettings, DatabaseSettings, ServiceSettings):
    """Settings of ingest."""

    model_config = configured("ingest")
    http_port: int = 8102
    grpc_port: int = 9102
    objects_url: str
    """Where objects lie: `file:///absolute/path`."""
    max_instance_bytes: int = Field(16 * 1024**3, gt=0)
    """An instance that is larger is refused."""
    max_metadata_bytes: int = Field(16 * 1024**2, gt=0)
    """Of one request that brings metadata and bulk data apart: metadata is held in memory."""
    instances_in_flight: int = Field(24, ge=1, le=64)
    """How many instances of one delivery are checked and stored at a time."""
    conflicts: Policy = Policy.KEEP_FIRST
    """For other bytes under a SOP Instance UID that is taken: keep-first, keep-last or refuse. None deletes."""
    deletion: bool = False
    """Whether studies, series and instances may be deleted over HTTP."""
    rest_seconds: float = Field(3600.0, ge=60)
    """So long after the last mention of it in the index the object of a deleted instance is removed."""
    settle_seconds: float = Field(2.0, ge=0)
    """A series settles when what carried it has ended and nothing new came for so long."""
    delivery_lost_seconds: float = Field(15.0, gt=1)
    """A delivery whose process gave no sign of life for so long is over: that process was killed."""
