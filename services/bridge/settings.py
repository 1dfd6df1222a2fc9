"""Settings of the bridge: `PLEXUS_BRIDGE_*`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from services.chassis.settings import ServiceSettings, configured

AeTitle = Annotated[str, Field(pattern=r"^[!-\[\]-~][ -\[\]-~]{0,15}$")]
"""1 to 16 characters of the default repertoire, without backslash (PS3.5 6.2, AE)."""


class Settings(ServiceSettings):
    """Who may send, how much at a time, and where it goes."""

    model_config = configured("bridge")

    http_port: int = 8101
    ingest_address: str = "127.0.0.1:9102"

    dimse_host: str = "127.0.0.1"
    """Loopback: an AE title proves nothing. Who listens on a network has to see who can reach it."""
    dimse_port: int = 11112
    ae_title: AeTitle = "PLEXUS"
    any_called_ae_title: bool = False
    """Accept associations that were meant for another AE title than ours."""
    calling_ae_titles: Annotated[frozenset[AeTitle], NoDecode] = frozenset()
    """The AE titles that may send, separated by commas. Empty: any."""
    accept_unknown_sop_classes: bool = False
    """Take private SOP classes, and those that our dictionary does not know, for storage."""

    max_associations: int = Field(default=32, ge=1)
    max_pdu_bytes: int = Field(default=262_144, ge=4096, le=16 * 1024 * 1024)
    """The longest PDU that we announce. Longer ones than 1 MiB (or than this) end the association."""
    network_timeout_seconds: float = Field(default=120.0, gt=0)
    """How long a peer may be silent; longer than `store_timeout_seconds`, or a slow store ends its association."""
    acse_timeout_seconds: float = Field(default=30.0, gt=0)
    ingest_reach_seconds: float = Field(default=5.0, gt=0)
    """How long a sender waits for ingest to be there before it hears A700."""
    store_timeout_seconds: float = Field(default=60.0, gt=0)
    """How long ingest may take for one chunk of an instance, or for its answer, before the sender hears A700."""

    @field_validator("calling_ae_titles", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [title.strip() for title in value.split(",") if title.strip()] if isinstance(value, str) else value
