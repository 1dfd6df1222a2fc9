"""What an operator can set: `PLEXUS_ARCHIVE_*`."""

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


class Settings(LinkSettings, RpcSettings, BusSettings, DatabaseSettings, ServiceSettings):
    """Settings of the archive."""

    model_config = configured("archive")
    http_port: int = 8103
    grpc_port: int = 9103
    objects_url: str
    """Where ingest puts objects: `file:///absolute/path`."""
    max_results: int = Field(1000, ge=1, le=100_000)
    """At most so many answers to one query; a client that wants more asks again with an offset."""
    max_matches: int = Field(10_000, ge=1, le=100_000)
    """At most so many matches of one C-FIND; a peer that asks for more hears that there are others."""
    unrecorded: frozenset[str] = frozenset()
    """Kinds of access, as the log names them, that are answered even if their record cannot be written now."""
    images_bytes: int = Field(32 * 1024**2, ge=0)
    """How much is held in memory of rendered images and thumbnails as they went out."""
    annotation_fonts: tuple[str, ...] = (
        "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf",
        "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    )
    """Font files that a rendered image's annotation is written with, best first; those that are not there are passed
    over. A text that none of them has all letters of is refused."""
    recent_bytes: int = Field(64 * 1024**2, ge=0)
    """How much metadata is held in memory as it went out, beside the database."""
    places_bytes: int = Field(64 * 1024**2, ge=0)
    """How much is held in memory of where instances lie; the index is asked each time whether it still holds."""
    pixel_workers: int = Field(0, ge=0, le=256)
    """Processes that decode and encode pixels; 0: one for each core."""
    pixel_memory_bytes: int = Field(1024**3, ge=128 * 1024**2)
    """What one of them may take for one frame or image, above what it has when idle. A frame may be half as large."""
    pixel_seconds: int = Field(20, ge=1, le=3600)
    """Of a processor's time that one of them may take for one image; for a frame less, by its size."""
