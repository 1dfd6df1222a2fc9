"""The audit log's settings: `PLEXUS_AUDIT_*`."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, SecretStr, model_validator

from services.chassis.settings import BusSettings, DatabaseSettings, ServiceSettings, configured


class Settings(BusSettings, DatabaseSettings, ServiceSettings):
    """Read once, in `__main__`."""

    model_config = configured("audit")

    http_port: int = 8108
    archive_address: str = "127.0.0.1:9103"
    """The archive, which knows whose studies are: the log holds references only."""
    records_at_once: int = Field(default=256, ge=1, le=1000)
    """Messages in hand at a time; they are written in one transaction."""

    folder: Path
    """Where the tiles and the checkpoint lie, as they are served."""
    key_file: Path
    """The log's signing key: 32 random bytes that its owner alone can read; made at the first start."""
    origin: str = Field(default="plexus.local/audit", pattern=r"^[^\s+]{1,200}$")
    """The log's name in its checkpoints, best an address without its scheme. It is not changed later."""
    checkpoint_seconds: float = Field(default=1.0, gt=0)
    """How long a record may wait for a signed checkpoint over it."""
    witnesses: str = ""
    """Verifier keys of the witnesses whose cosignatures the checkpoint is served with, separated by spaces."""

    syslog_host: str = ""
    """Forward to a syslog receiver over TLS (RFC 5425). Empty: do not."""
    syslog_port: int = 6514
    forward_ca: Path | None = None
    """The authorities of the receivers' certificates, PEM; the system's where it is not set. For FHIR too."""
    tls_certificate: Path | None = None
    """Our certificate for receivers that want one, PEM."""
    tls_key: Path | None = None
    fhir_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """Forward to the FHIR base of an audit record repository (IHE ITI-20). Empty: do not."""
    fhir_token: SecretStr | None = None
    """A bearer token for it."""
    forward_at_once: int = Field(default=100, ge=1, le=1000)
    forward_timeout_seconds: float = Field(default=30.0, gt=0)

    @model_validator(mode="after")
    def _check_tls(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key need one another")
        return self
