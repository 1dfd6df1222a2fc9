"""Settings of the bridge: `PLEXUS_BRIDGE_*`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from services.bridge.destinations import Rule, rules
from services.bridge.exchanging import addresses
from services.chassis.settings import ServiceSettings, configured

AeTitle = Annotated[str, Field(pattern=r"^[!-\[\]-~][ -\[\]-~]{0,15}$")]
"""1 to 16 characters of the default repertoire, without backslash (PS3.5 6.2, AE)."""


class Settings(ServiceSettings):
    """Who may send, how much at a time, and where it goes."""

    model_config = configured("bridge")

    http_port: int = 8101
    ingest_address: str = "127.0.0.1:9102"
    archive_address: str = "127.0.0.1:9103"
    nats_url: SecretStr | None = None
    """The bus that keeps what a modality asked to be committed until it has its report. Without it, storage commitment
    is not offered: a promise that a restart forgets is none."""
    ack_wait_seconds: float = 10.0

    dimse_host: str = "127.0.0.1"
    """Loopback: an AE title proves nothing. Who listens on a network has to see who can reach it."""
    dimse_port: int = 11112
    dimse_plain: bool = True
    """Take associations without TLS, on `dimse_port`."""
    dimse_tls_port: int | None = None
    """Take associations with TLS (PS3.15 B.12) on this port; 2762 is the one that is registered for it."""
    tls_certificate: Path | None = None
    """Our certificate, PEM, with the chain behind it."""
    tls_key: Path | None = None
    """Its private key, PEM."""
    tls_client_ca: Path | None = None
    """The authorities of the certificates that peers have to show, PEM. Without it, peers show none."""
    ae_title: AeTitle = "PLEXUS"
    any_called_ae_title: bool = False
    """Accept associations that were meant for another AE title than ours."""
    calling_ae_titles: Annotated[frozenset[AeTitle], NoDecode] = frozenset()
    """The AE titles that may send, separated by commas. Empty: any."""
    querying_ae_titles: Annotated[frozenset[AeTitle], NoDecode] = frozenset()
    """The AE titles that may query and retrieve, separated by commas. Empty: any that may send."""
    peers: str = ""
    """Where application entities listen to which instances are moved (C-MOVE) and commitments reported:
    `WORKSTATION=10.1.2.3:104, CT1=10.1.2.4:11112`."""
    peers_file: Path | None = None
    """A file with the same, one to a line, `#` before remarks. It is read again whenever it changes."""
    send_results: str = ""
    """The kinds of results that go to a destination as soon as a job has made them: a peer of `peers`, another
    application entity, or the root of a DICOMweb service: `PACS=SEG SR PDF, VNA@10.1.2.3:104=*, https://host/dicom-web=*`."""
    stow_ca_file: Path | None = None
    """Who signs the certificates of DICOMweb services that get results (PEM); else the system's authorities."""
    stow_certificate_file: Path | None = None
    stow_key_file: Path | None = None
    """Our certificate and its key (PEM), for services that want to know who asks."""
    stow_tokens_folder: Path | None = None
    """A folder with a file named after each host that wants a bearer token, and the token in it."""
    stow_plain_hosts: Annotated[frozenset[str], NoDecode] = frozenset()
    """Hosts that may get results without TLS, `host` or `host:port`, separated by commas; this machine may."""
    accept_unknown_sop_classes: bool = False
    """Take private SOP classes, and those that our dictionary does not know, for storage."""

    max_associations: int = Field(default=32, ge=1)
    max_pdu_bytes: int = Field(default=262_144, ge=4096, le=1024 * 1024)
    """The longest PDU that we announce. Much longer ones end the association."""
    network_timeout_seconds: float = Field(default=120.0, gt=0)
    """How long a peer may be silent, and how long it may take for a PDU."""
    acse_timeout_seconds: float = Field(default=30.0, gt=0)
    ingest_reach_seconds: float = Field(default=5.0, gt=0)
    """How long a sender waits for ingest to be there before it hears A700."""
    store_timeout_seconds: float = Field(default=60.0, gt=0)
    """How long ingest may take for one chunk of an instance, or for its answer, before the sender hears A700."""

    archive_timeout_seconds: float = Field(default=60.0, gt=0)
    """How long the archive may take for a query, before the peer hears A700 (or, of a retrieval, A701)."""

    @model_validator(mode="after")
    def _check_ports(self) -> Self:
        if self.dimse_tls_port is None and not self.dimse_plain:
            raise ValueError("without TLS (dimse_tls_port) and without dimse_plain there is nowhere to listen")
        if self.dimse_tls_port is not None and (self.tls_certificate is None or self.tls_key is None):
            raise ValueError("dimse_tls_port needs tls_certificate and tls_key")
        return self

    @field_validator("peers")
    @classmethod
    def _check(cls, value: str) -> str:
        addresses(value)
        return value

    @model_validator(mode="after")
    def _check_rules(self) -> Self:
        try:
            rules(self.send_results, plain_hosts=self.stow_plain_hosts)
        except ValueError as error:
            raise ValueError(f"send_results: {error}") from None
        if (self.stow_certificate_file is None) != (self.stow_key_file is None):
            raise ValueError("stow_certificate_file and stow_key_file are given together")
        return self

    @property
    def rules(self) -> tuple[Rule, ...]:
        """`send_results`, read."""
        return rules(self.send_results, plain_hosts=self.stow_plain_hosts)

    @field_validator("calling_ae_titles", "querying_ae_titles", "stow_plain_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return [title.strip() for title in value.split(",") if title.strip()] if isinstance(value, str) else value
