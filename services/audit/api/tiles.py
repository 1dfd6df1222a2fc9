"""The tree by HTTP, as static resources (C2SP tlog-tiles). They tell nothing of the records, and are not recorded."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Response
from fastapi.responses import PlainTextResponse

from services.audit.ports import Tiles
from services.audit.tiles import Tile, TileMissingError
from services.chassis.http import problem

_FOREVER = {"Cache-Control": "public, max-age=31536000, immutable"}
_NEVER = {"Cache-Control": "no-store"}


def router(folder: Tiles, prefix: str = "") -> APIRouter:
    """The routes, below `prefix`."""
    routes = APIRouter(prefix=prefix)

    @routes.get("/checkpoint")
    async def checkpoint() -> Response:
        """How the log stands, signed."""
        note = await asyncio.to_thread(folder.checkpoint)
        if not note:
            return problem(503, "no-checkpoint", "no checkpoint was signed yet", {"Retry-After": "1"})
        return PlainTextResponse(note, headers=_NEVER)

    @routes.get("/tile/{path:path}")
    async def tile(path: str) -> Response:
        """A tile, or a bundle of entries."""
        wanted = Tile.parse(f"tile/{path}")
        try:
            if wanted is None:
                raise LookupError
            data = await asyncio.to_thread(folder.read, wanted)
        except (LookupError, TileMissingError):
            return problem(404, "no-such-tile", "the log has no such tile")
        return Response(data, media_type="application/octet-stream", headers=_FOREVER)

    return routes
