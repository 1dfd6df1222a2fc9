"""What an operator may set: `PLEXUS_INFERENCE_*`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from services.chassis.settings import BusSettings, ServiceSettings, WorkSettings, configured


class SharedMemory(StrEnum):
    """How tensors reach Triton."""

    AUTO = "auto"
    """By system shared memory where Triton is on this host and can open it, else by gRPC."""
    ON = "on"
    OFF = "off"


class Settings(WorkSettings, BusSettings, ServiceSettings):
    """Settings of `inference`."""

    model_config = configured("inference")

    http_port: int = 8106
    packages_folder: Path
    """Model packages, `<name>/<version>/` with `model.yaml` in it, as the catalogue keeps them."""
    triton_address: str = "127.0.0.1:18001"
    """Triton's gRPC address."""
    shared_memory: SharedMemory = SharedMemory.AUTO
    concurrency: int = 1
    """How many jobs one process works on at a time; each holds one volume and its label map."""
    decode_threads: int = 2
    """How many slices of a job are decoded at a time."""
    volume_max_bytes: int = 2_000_000_000
    """A series whose volume is larger is refused; gRPC carries 2 GiB at the most."""
    remote_hosts: frozenset[str] = frozenset()
    """Servers of others that may be asked, `host` or `host:port`, as a JSON list. De-identified volumes go there."""
    remote_ca_file: Path | None = None
    """Who signs their certificates (PEM); else the authorities that the system trusts."""
    remote_certificate_file: Path | None = None
    remote_key_file: Path | None = None
    """Our certificate and its key (PEM), for servers that want to know who asks."""
    remote_tokens_folder: Path | None = None
    """A folder with a file named after each host that wants a bearer token, and the token in it."""
