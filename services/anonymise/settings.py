"""What an operator may set: `PLEXUS_ANONYMISE_*`."""

from __future__ import annotations

from pathlib import Path

from services.chassis.settings import (
    BusSettings,
    DatabaseSettings,
    RpcSettings,
    ServiceSettings,
    WorkSettings,
    configured,
)


class Settings(WorkSettings, RpcSettings, BusSettings, DatabaseSettings, ServiceSettings):
    """Settings of `anonymise`."""

    model_config = configured("anonymise")

    http_port: int = 8105
    grpc_port: int = 9105
    archive_address: str = "127.0.0.1:9103"
    key_file: Path
    """32 random bytes that pseudonyms are made with; readable by its owner alone. Losing it ends their consistency."""
    key_command: str = ""
    """A program that prints the keys instead, 64 hexadecimal digits a line, the current one first: for a KMS."""
    profile: Path | None = None
    """What rules what leaves, such as `deploy/profiles/research.yaml`; without one, what `default.yaml` says."""
    concurrency: int = 1
    """How many jobs one process de-identifies at a time."""
    instance_concurrency: int = 4
    """How many instances of a job are in hand at a time; each is in memory twice."""
    instance_max_bytes: int = 2 * 1024**3
    """A larger instance is refused."""
    request_max_bytes: int = 1024**3
    """A larger `POST /deidentify` is refused."""
    device_rules: Path | None = None
    """What is known of devices' pictures, as a CSV table; without one, `deploy/profiles/devices.csv` of this clone."""
    reading_workers: int = 2
    """Processes that look into pixels."""
    reading_seconds: int = 600
    """A processor's time that the pixels of one instance may take; what takes longer is quarantined."""
    reading_memory_bytes: int = 4 * 1024**3
    """Memory that one such process may take."""
