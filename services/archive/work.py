"""What a worker process can be asked to do: a closed list, by name."""

from __future__ import annotations

from enum import StrEnum


class Work(StrEnum):
    """The functions `(parameters: bytes, data: Sequence[bytes]) -> bytes` that run in a worker, as `module:function`.

    Their modules are imported there and, for their codecs' sake, not in the service.
    """

    FRAME = "services.archive.pixel_work:frame"
    HEADER = "services.archive.pixel_work:header"
    RENDER = "services.archive.rendering_work:render"
