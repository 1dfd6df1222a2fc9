"""The catalogue's settings: `PLEXUS_CATALOGUE_*`."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

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
    shipped_folder: Path = Path(__file__).resolve().parents[2] / "models"
    """Packages that come with Plexus: each `*/model.yaml` in it. They are published at the start."""
    triton_address: str = "127.0.0.1:18001"
    package_max_bytes: int = Field(default=2_000_000_000, gt=0)
    """Largest package, unpacked."""
    load_seconds: float = Field(default=120.0, gt=0)
    """How long Triton may take to load a model."""
    watch_seconds: float = Field(default=2.0, gt=0)
    """How often Triton is asked whether it still serves what it should."""
