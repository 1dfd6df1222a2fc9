"""One question to a KServe v2 server by gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferRequestedOutput
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from services.contracts.remote import Remote
from services.inference.adapters.kserve_http import Refused
from services.inference.errors import RemoteAway

_AWAY = {"UNAVAILABLE", "CANCELLED", "RESOURCE_EXHAUSTED"}


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
    """The answer by the server's names of tensors; raises as `kserve_http.ask`."""
    certificate_file, key_file = (str(path) for path in certificate) if certificate else (None, None)
    client = InferenceServerClient(
        remote.address,
        ssl=remote.tls,
        root_certificates=str(ca_file) if ca_file else None,
        private_key=key_file,
        certificate_chain=certificate_file,
        channel_args=[("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", most_bytes)],
    )
    try:
        answer = await client.infer(
            remote.model,
            [await asyncio.to_thread(_input, name, array) for name, array in sent.items()],
            model_version=remote.model_version,
            outputs=[InferRequestedOutput(name) for name in outputs],
            client_timeout=seconds,
            headers={"authorization": f"Bearer {token}"} if token else None,
        )
    except InferenceServerException as error:
        status = str(error.status()).removeprefix("StatusCode.")
        if status in _AWAY:
            raise RemoteAway from None
        if status == "DEADLINE_EXCEEDED":
            raise TimeoutError from None
        raise Refused(str(error.message() or "")) from None
    finally:
        await client.close()
    found = {name: answer.as_numpy(name) for name in outputs}
    return {name: array for name, array in found.items() if array is not None}


def _input(name: str, array: NDArray[Any]) -> InferInput:
    tensor = InferInput(name, list(array.shape), np_to_triton_dtype(array.dtype))
    tensor.set_data_from_numpy(array)
    return tensor
