"""One question to a KServe v2 server by HTTP: tensors as bytes behind the JSON (its binary data extension)."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray
from tritonclient.utils import np_to_triton_dtype, triton_to_np_dtype

from services.contracts.remote import Remote
from services.inference.errors import RemoteAway

_LENGTH = "Inference-Header-Content-Length"
_AWAY = {429, 502, 503, 504}
_PIECE = 1 << 20
_CONNECT_SECONDS = 10.0


class Refused(Exception):
    """The server said no, in its own words."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


async def ask(
    remote: Remote,
    sent: Mapping[str, NDArray[Any]],
    outputs: Sequence[str],
    *,
    token: str,
    ca_file: Path | None,
    certificate: tuple[Path, Path] | None,
    seconds: float,
    most_bytes: int,
) -> Mapping[str, NDArray[Any]]:
    """The answer by the server's names of tensors.

    Raises:
        RemoteAway: the server does not answer now.
        TimeoutError: not within `seconds`.
        Refused: it says no, or answers something else.
    """
    version = f"/versions/{remote.model_version}" if remote.model_version else ""
    url = f"{'https' if remote.tls else 'http'}://{remote.address}/v2/models/{remote.model}{version}/infer"
    header = json.dumps(
        {
            "inputs": [
                {
                    "name": name,
                    "shape": array.shape,
                    "datatype": np_to_triton_dtype(array.dtype),
                    "parameters": {"binary_data_size": array.nbytes},
                }
                for name, array in sent.items()
            ],
            "outputs": [{"name": name, "parameters": {"binary_data": True}} for name in outputs],
        }
    ).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Length": str(len(header) + sum(array.nbytes for array in sent.values())),
        _LENGTH: str(len(header)),
        **({"Authorization": f"Bearer {token}"} if token else {}),
    }
    try:
        async with (
            asyncio.timeout(seconds),
            httpx.AsyncClient(
                verify=_context(ca_file, certificate) if remote.tls else True,
                timeout=httpx.Timeout(None, connect=min(_CONNECT_SECONDS, seconds)),
                trust_env=False,
            ) as http,
            http.stream("POST", url, content=_body(header, sent.values()), headers=headers) as reply,
        ):
            data = await _read(reply, most_bytes)
    except (httpx.TransportError, ssl.SSLError):  # by TLS 1.3 a certificate may be refused after the handshake
        raise RemoteAway from None
    if reply.status_code in _AWAY:
        raise RemoteAway
    try:
        length = int(reply.headers.get(_LENGTH, len(data)))
        told = json.loads(data[:length])
        if reply.status_code != httpx.codes.OK:
            raise Refused(str(told["error"]))
        return _tensors(told["outputs"], memoryview(data)[length:])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Refused(f"its server answered {reply.status_code}, and no tensors") from None


def _context(ca_file: Path | None, certificate: tuple[Path, Path] | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


async def _body(header: bytes, arrays: Any) -> AsyncIterator[bytes]:
    yield header
    for array in arrays:
        data = np.ascontiguousarray(array).data.cast("B")
        for start in range(0, len(data), _PIECE):
            yield bytes(data[start : start + _PIECE])


async def _read(reply: httpx.Response, most_bytes: int) -> bytes:
    data = bytearray()
    async for piece in reply.aiter_bytes():
        data += piece
        if len(data) > most_bytes:
            raise Refused(f"its answer has more than {most_bytes >> 20} MiB")
    return bytes(data)


def _tensors(outputs: Any, binary: memoryview) -> dict[str, NDArray[Any]]:
    """What the JSON names, each in its own `data` or in the bytes behind, in order."""
    made: dict[str, NDArray[Any]] = {}
    start = 0
    for output in outputs:
        dtype, shape = np.dtype(triton_to_np_dtype(output["datatype"])), [int(size) for size in output["shape"]]
        if dtype.hasobject:
            raise ValueError("tensors of texts are none of ours")
        size = (output.get("parameters") or {}).get("binary_data_size")
        if size is None:
            made[output["name"]] = np.array(output["data"], dtype).reshape(shape)
        else:
            made[output["name"]] = np.frombuffer(binary[start : start + size], dtype).reshape(shape)
            start += size
    return made
