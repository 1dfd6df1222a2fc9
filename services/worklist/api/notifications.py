"""The event channel of UPS-RS: a WebSocket for a subscriber (PS3.18 8.10.4, 8.10.5)."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import suppress

from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from services.dicom.dicom_json import DicomJson, dumps
from services.worklist.ports import Notifications

_AE_TITLE = re.compile(r"[ -\[\]-~]{1,16}", re.ASCII)
_PROTOCOL = "dicom"
_REFUSED = 1008
_GOING_AWAY = 1001
_PATIENCE_SECONDS = 60.0


def router(*, notifications: Notifications) -> APIRouter:
    """The route, at the addresses that PS3.18 has had for it."""
    routes = APIRouter()

    @routes.websocket("/ws/subscribers/{ae_title}")
    @routes.websocket("/subscribers/{ae_title}")
    async def channel(socket: WebSocket, ae_title: str) -> None:
        if not _AE_TITLE.fullmatch(ae_title):
            await socket.close(_REFUSED)
            return
        offered = socket.scope.get("subprotocols") or ()
        async with notifications.listen(ae_title) as told:
            await socket.accept(_PROTOCOL if _PROTOCOL in offered else None)
            tasks = {asyncio.create_task(_gone(socket)), asyncio.create_task(_tell(socket, told))}
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    return routes


async def _gone(socket: WebSocket) -> None:
    """Returns when the client has gone; what it says is not for us."""
    with suppress(WebSocketDisconnect, RuntimeError):
        while True:
            await socket.receive()


async def _tell(socket: WebSocket, told: AsyncIterator[DicomJson]) -> None:
    """Says what there is to say, until the process stops or the client does not read any more.

    A client that keeps its line and reads nothing is let go: pings would wait behind what it does not read.
    """
    with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
        async for message in told:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await socket.send_text(dumps(message).decode())
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await socket.close(_GOING_AWAY)
