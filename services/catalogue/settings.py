"""The catalogue's settings: `PLEXUS_CATALOGUE_*`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr

from services.chassis.settings import BusSettings, DatabaseSettings, RpcSettings, ServiceSettings, configured


class Settings(BusSettings, DatabaseSettings, RpcSettings, ServiceSettings):
    """Read once, in `__main__`."""

    model_config = configured("catalogue")

    http_port: int = 8109
    grpc_port: int = 9109
    packages_folder: Path
    """Where packages lie, `<name>/<version>/`; inference reads their cards there."""
    repository_folder: Path
    """Triton's model repository; nobody else writes to it."""
    environments_folder: Path
    """Where environments of packages lie, one for each lock file. Seen from the repository they lie for Triton where
    they lie here: models name them by a relative path."""
    shipped_folder: Path = Path(__file__).resolve().parents[2] / "models"
    """Packages that come with Plexus: each `*/model.yaml` in it. They are published at the start."""
    triton_address: str = "127.0.0.1:18001"
    package_max_bytes: int = Field(default=2_000_000_000, gt=0)
    """Largest package, unpacked."""
    python: str = "3.10"
    """Triton's Python, for which environments are built: an interpreter, or its version where it is elsewhere."""
    wheels_folder: Path | None = None
    """All wheels for environments come from this folder; none: from an index."""
    index_url: SecretStr = SecretStr("")
    """The index for environments; empty: what uv is set to."""
    environment_seconds: float = Field(default=1200.0, gt=0)
    """How long an environment may take to build."""
    backends: frozenset[Literal["onnxruntime", "pytorch"]] = frozenset()
    """Backends that this site's Triton has, and that are to run networks; else our runner does, in Python."""
    trusted_packages: frozenset[str] = frozenset()
    """Packages of kind triton whose Python may run in Triton itself: not confined, kept loaded, with its GPU."""
    load_seconds: float = Field(default=120.0, gt=0)
    """How long Triton may take to load a model."""
    watch_seconds: float = Field(default=2.0, gt=0)
    """How often Triton is asked whether it still serves what it should."""
