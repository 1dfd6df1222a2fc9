"""What an operator may set: `PLEXUS_ENCODE_*`."""

from __future__ import annotations

from pathlib import Path

from services.chassis.settings import BusSettings, ServiceSettings, WorkSettings, configured


class Settings(WorkSettings, BusSettings, ServiceSettings):
    """Settings of `encode`."""

    model_config = configured("encode")

    http_port: int = 8107
    key_file: Path
    """32 random bytes that the UIDs of results are derived under; readable by its owner alone."""
    anonymise_address: str = "127.0.0.1:9105"
    archive_address: str = "127.0.0.1:9103"
    ingest_address: str = "127.0.0.1:9102"
    concurrency: int = 1
    """How many jobs one process encodes at a time; each holds two copies of its label map."""
    header_concurrency: int = 8
    """How many source headers are asked for at a time."""
    result_max_bytes: int = 4 * 1024**3
    """A result that unpacks to more than this is refused."""
    picture_max_bytes: int = 512 * 1024**2
    """A source instance that has more bytes uncompressed gets no key picture."""
    omit_empty_frames: bool = True
    """Leave frames without a voxel out of a SEG: smaller, and viewers load it sooner."""
