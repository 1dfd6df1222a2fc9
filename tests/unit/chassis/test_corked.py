"""uvicorn with corked connections, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
import uvicorn

from services.chassis.corked import CorkedHttp
from services.launcher.settings import free_port

PIECES = {
    "/none": [b""],
    "/small": [b"one"],
    "/pieces": [b"one", b"two", b"three"],
    "/large": [b"head", bytes(3_000_000), b"tail"],
    "/many": [bytes(40_000)] * 50,
}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Says how long its answer is, or not."""
    path, chunked = scope["path"].removesuffix("/chunked"), scope["path"].endswith("/chunked")
    pieces = PIECES[path]
    headers = [] if chunked else [(b"content-length", b"%d" % sum(map(len, pieces)))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for piece in pieces[:-1]:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": pieces[-1]})


@pytest_asyncio.fixture(scope="module")
async def url() -> AsyncIterator[str]:
    """Where it is served."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_config=None, ws="none", lifespan="off", http=CorkedHttp))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    await serving


@pytest.mark.parametrize("kind", ["", "/chunked"])
@pytest.mark.parametrize("path", list(PIECES))
async def test_an_answer_arrives_as_it_was_written_and_the_connection_stays(url: str, path: str, kind: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        for _ in range(2):
            answer = await client.get(path + kind)
            assert answer.content == b"".join(PIECES[path])


async def test_an_answer_is_whole_when_the_connection_is_closed_after_it(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, headers={"Connection": "close"}) as client:
        for path in ("/pieces", "/large"):
            assert (await client.get(path)).content == b"".join(PIECES[path])


async def test_head_and_body_of_a_small_answer_come_in_one_piece(url: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(b"GET /pieces HTTP/1.1\r\nHost: here\r\n\r\n")
    first = await reader.read(65536)
    writer.close()
    assert first.startswith(b"HTTP/1.1 200")
    assert first.endswith(b"\r\n\r\nonetwothree")
