"""The settings that every service has. A service adds its own in `settings.py`, under its own prefix.

class Settings(BusSettings, DatabaseSettings, ServiceSettings):
    model_config = configured("ingest")
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.chassis.bucket import BucketKeys


def configured(service: str) -> SettingsConfigDict:
    """Settings of `service`: frozen, read from `PLEXUS_<SERVICE>_*`, unknown names ignored."""
    return SettingsConfigDict(env_prefix=f"PLEXUS_{service.upper()}_", frozen=True, extra="ignore")


class ServiceSettings(BaseSettings):
    """Where a service listens, and where its telemetry goes."""

    http_host: str = "127.0.0.1"
    http_port: int
    log_level: str = "INFO"
    otlp_endpoint: str | None = None
    """Base address of an OTLP/HTTP receiver, such as `http://127.0.0.1:4318`; spans go to `/v1/traces` there."""
    spans_file: Path | None = None
    """A file that gets one JSON object a line for each span; `plexus trace` reads it."""
    tls_folder: Path | None = None
    """Folder with authority.pem, certificate.pem and key.pem (`plexus certificates`): gRPC is by mutual TLS then."""
    drain_seconds: float = 20.0
    """How long work in hand may go on after SIGTERM."""


class LinkSettings(BaseSettings):
    """What a service needs that puts links to itself into its answers."""

    public_url: str = Field("", pattern=r"^(https?://[A-Za-z0-9.\-_\[\]:]+)?$")
    """Address of the edge, for clients whose Host header has no port."""


class RpcSettings(BaseSettings):
    """Where a service answers gRPC."""

    grpc_host: str = "127.0.0.1"
    grpc_port: int


class BusSettings(BaseSettings):
    """How a service reaches NATS. A user and password may stand in the URL."""

    nats_url: SecretStr = SecretStr("nats://127.0.0.1:14222")
    ack_wait_seconds: float = 10.0
    """A message whose handler gave no sign of life for so long goes to the next consumer."""


class DatabaseSettings(BaseSettings):
    """How a service reaches PostgreSQL: `postgresql://user:password@host:port/database`."""

    database_url: SecretStr
    database_pool: int = 8


class WorkSettings(BaseSettings):
    """How a service reaches the work store: a folder, or a bucket with keys of the service's own."""

    work_url: str
    """The work store: `file:///…/work` or `s3://bucket/prefix`."""
    work_access_key: str = ""
    work_secret_key: SecretStr = SecretStr("")
    work_endpoint: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """Of an S3 store that is not Amazon's."""
    work_region: str = ""

    @property
    def work_keys(self) -> BucketKeys:
        """What opens the bucket."""
        return BucketKeys(
            self.work_access_key, self.work_secret_key.get_secret_value(), self.work_endpoint, self.work_region
        )
