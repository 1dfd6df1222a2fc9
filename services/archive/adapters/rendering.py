"""Images made by worker processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from services.archive.adapters.workers import Workers, WorkRefused
from services.archive.errors import InvalidQuery, NotDecodable, NotRenderable, NotWritable, TooMuch
from services.archive.rendering_work import GONE, LETTERS, VIEWPORT, Stored, packed
from services.archive.work import Work
from services.pixels.errors import PixelError
from services.pixels.rendering.job import Job
from services.store.errors import ObjectMissing


class WorkerRenderer:
    """`Renderer` by a pool of workers."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    async def image(
        self,
        job: Job,
        frames: Sequence[bytes | Stored] = (),
        transfer_syntax_uid: str = "",
        attributes: Mapping[str, Any] | None = None,
    ) -> bytes:
        """See `Renderer.image`."""
        try:
            stored = [each for each in frames if isinstance(each, Stored)]
            sent = [each for each in frames if isinstance(each, bytes)]
            return await self._workers.call(
                Work.RENDER, packed(job, transfer_syntax_uid, attributes or {}, stored), sent
            )
        except (PixelError, NotDecodable, TooMuch):
            raise NotRenderable from None
        except WorkRefused as refused:
            if refused.code == VIEWPORT:
                raise InvalidQuery("viewport") from None
            if refused.code == GONE:
                raise ObjectMissing from None
            raise (NotWritable if refused.code == LETTERS else NotRenderable) from None
