"""Models that a remote KServe v2 server runs: a real Triton, without shared memory, and servers behind TLS."""

from __future__ import annotations

import http.server
import json
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from services.chassis.health import Health
from services.chassis.log import Log
from services.contracts.card import ModelCard
from services.contracts.events import AuditRecorded, JobInferred
from services.contracts.work import result_key
from services.inference.adapters import triton
from services.inference.adapters.npz import NpzResults
from services.inference.adapters.pydicom import PydicomReader
from services.inference.adapters.remote import Servers, Site
from services.inference.errors import ModelFailed, ModelTooSlow, RemoteNotAllowed, RemoteUnavailable
from services.inference.handlers import Limits, infer_job
from services.inference.model import Geometry, Prediction
from services.inference.promises import check
from services.inference.settings import SharedMemory
from services.launcher.commands import certificates
from services.launcher.settings import Settings
from tests.conftest import free_port
from tests.integration.inference_parts import compared_card, trouble_card
from tests.unit.inference.fakes import FakeCards, FakeEvents, FakeModels
from tests.unit.inference.series import pixels
from tests.unit.inference.test_several_inputs import EVENT, released

NOW = np.zeros((4, 5, 6), np.int16)


def remote_card(of: ModelCard, address: str, **server: Any) -> ModelCard:
    """A card of a model that is served elsewhere under the name of `of`."""
    told = {"address": address, "model": of.served, "tls": False, **server}
    return ModelCard.from_mapping({**of.source, "kind": "external", "server": told})


@asynccontextmanager
async def servers(site: Site) -> AsyncIterator[Servers]:
    """A site whose own Triton is away: what answers is the other one."""
    nobody = f"127.0.0.1:{free_port()}"
    async with triton.connected(nobody, shared_memory=SharedMemory.OFF, log=Log("test"), health=Health()) as own:
        yield Servers(own, site, pause_seconds=0.05)


async def ask(card: ModelCard, site: Site, first_voxel: int = 0) -> Prediction:
    geometry = Geometry(tuple(range(len(NOW))), NOW.shape, (2.5, 1, 1), np.eye(3))
    async with servers(site) as models, models.room(card, NOW.shape) as room:
        room.volume[:] = NOW
        room.volume[0, 0, 0] = first_voxel
        assert "remote server" in room.means
        answer = await room.infer(geometry)
        check(answer, card, NOW.shape)
        return answer


def addresses(settings: Settings) -> dict[str, str]:
    return {"grpc": settings.address("triton_grpc"), "http": settings.address("triton_http")}


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_job_runs_on_a_second_triton_with_its_prior_and_without_shared_memory(
    triton_address: str,
    triton_settings: Settings,
    protocol: str,
) -> None:
    address = addresses(triton_settings)[protocol]
    card = remote_card(compared_card(), address, protocol=protocol)
    card = ModelCard.from_mapping({**card.source, "name": "toy"})  # ours need not be their name
    work, events = released(), FakeEvents()
    async with servers(Site(frozenset((address,)))) as models:
        await infer_job(
            EVENT,
            cards=FakeCards(card),
            work=work,
            reader=PydicomReader(),
            models=models,
            results=NpzResults(),
            events=events,
            limits=Limits(),
        )
    assert events.of(JobInferred)
    sent = events.said["job1.1.sent"]
    assert isinstance(sent, AuditRecorded)
    assert (sent.action, sent.destination, sent.instances) == ("transfer-out", address, 8)
    told = np.load(BytesIO(work.files[result_key("job1")]), allow_pickle=False)["measurements"]
    prior = np.stack([pixels(index).astype(np.float32) - 1024 for index in range(3)])
    assert told.tolist() == [[prior.sum() - 5 + 40]]


@pytest.mark.parametrize("protocol", ["http", "grpc"])
async def test_what_the_other_server_says_or_does_not_say_is_told_in_words(
    triton_address: str,
    triton_settings: Settings,
    protocol: str,
) -> None:
    address = addresses(triton_settings)[protocol]
    site = Site(frozenset(("127.0.0.1",)))
    assert (await ask(remote_card(trouble_card(), address, protocol=protocol), site)).labels is not None
    with pytest.raises(ModelFailed, match="the first voxel is one"):
        await ask(remote_card(trouble_card(), address, protocol=protocol), site, first_voxel=1)
    with pytest.raises(ModelFailed, match="nobody"):
        await ask(remote_card(trouble_card(), address, protocol=protocol, model="nobody"), site)
    with pytest.raises(ModelFailed, match="nosuch"):
        await ask(remote_card(trouble_card(), address, protocol=protocol, tensors={"volume": "nosuch"}), site)
    away = f"127.0.0.1:{free_port()}"
    with pytest.raises(RemoteUnavailable, match=f"{away} of the model trouble did not answer in 2 attempts"):
        await ask(remote_card(trouble_card(), away, protocol=protocol, attempts=2), site)
    with pytest.raises(RemoteNotAllowed, match=f"{address}, and this site sends nothing there"):
        await ask(remote_card(trouble_card(), address, protocol=protocol), Site())
    with pytest.raises(ModelTooSlow):  # the last: it is busy for a while
        await ask(remote_card(trouble_card(0.3), address, protocol=protocol), site, first_voxel=2)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of a server and of ours, and a token."""
    folder = tmp_path_factory.mktemp("remote")
    certificates.make(folder, ["models", "inference"], days=1)
    (folder / "tokens").mkdir()
    (folder / "tokens" / "127.0.0.1").write_text("a-secret\n")
    return folder


def trusting(folder: Path, *, known: bool = True) -> Site:
    ours = (folder / "inference" / "certificate.pem", folder / "inference" / "key.pem")
    return Site(
        frozenset(("127.0.0.1",)), folder / "models" / "authority.pem", ours if known else None, folder / "tokens"
    )


@pytest.fixture(scope="module")
def https(secured: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """A server that wants to know who asks, is busy at first, and answers in JSON alone: the plain protocol."""
    asked: list[dict[str, Any]] = []

    class Models(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            told = json.loads(body[: int(self.headers["Inference-Header-Content-Length"])])
            asked.append({"path": self.path, "token": self.headers["Authorization"], **told})
            shape = told["inputs"][0]["shape"]
            outputs = [
                {"name": "mask", "datatype": "UINT8", "shape": shape, "data": [0] * int(np.prod(shape))},
                {"name": "figures", "datatype": "FP32", "shape": [1, 1], "data": [1.5]},
            ]
            answer = json.dumps({"outputs": outputs}).encode()
            self.send_response(503 if len(asked) == 1 else 200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Models)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(secured / "models" / "certificate.pem", secured / "models" / "key.pem")
    context.load_verify_locations(secured / "models" / "authority.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}", asked
    server.shutdown()
    server.server_close()


RENAMED = {"volume": "image", "spacing": None, "direction": None, "labels": "mask", "measurements": "figures"}


async def test_by_https_a_certificate_and_a_token_open_the_door_and_tensors_have_their_names(
    secured: Path, https: tuple[str, list[dict[str, Any]]]
) -> None:
    address, asked = https
    told = {"protocol": "http", "tls": True, "model": "lungs", "model_version": "7", "tensors": RENAMED}
    card = remote_card(trouble_card(), address, **told)
    answer = await ask(card, trusting(secured))
    assert answer.measurements is not None and answer.measurements.tolist() == [[1.5]]
    busy, good = asked
    assert busy["path"] == good["path"] == "/v2/models/lungs/versions/7/infer" and good["token"] == "Bearer a-secret"
    assert [one["name"] for one in good["inputs"]] == ["image"]
    assert [one["name"] for one in good["outputs"]] == ["mask", "figures"]
    with pytest.raises(RemoteUnavailable):
        await ask(remote_card(trouble_card(), address, **told, attempts=1), trusting(secured, known=False))
    with pytest.raises(RemoteUnavailable):  # signed by nobody whom the system trusts
        await ask(remote_card(trouble_card(), address, **told, attempts=1), Site(frozenset((address,))))
    assert len(asked) == 2


class Models(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # generated, without types
    """A server of one model."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        self.tokens.append(dict(context.invocation_metadata()).get("authorization", ""))
        shape = list(request.inputs[0].shape)
        answer = service_pb2.ModelInferResponse(model_name=request.model_name)
        for name, datatype, size, data in (
            ("mask", "UINT8", shape, bytes(int(np.prod(shape)))),
            ("figures", "FP32", [1, 1], np.float32(2.5).tobytes()),
        ):
            answer.outputs.add(name=name, datatype=datatype, shape=size)
            answer.raw_output_contents.append(data)
        return answer


async def test_by_grpc_with_tls_a_certificate_and_a_token_open_the_door(secured: Path) -> None:
    folder, served = secured / "models", Models()
    credentials = grpc.ssl_server_credentials(
        [((folder / "key.pem").read_bytes(), (folder / "certificate.pem").read_bytes())],
        (folder / "authority.pem").read_bytes(),
        require_client_auth=True,
    )
    server = grpc.aio.server()
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(served, server)
    address = f"127.0.0.1:{server.add_secure_port('127.0.0.1:0', credentials)}"
    await server.start()
    card = remote_card(trouble_card(), address, tls=True, tensors=RENAMED, attempts=1)
    answer = await ask(card, trusting(secured))
    assert answer.measurements is not None and answer.measurements.tolist() == [[2.5]]
    assert served.tokens == ["Bearer a-secret"]
    with pytest.raises(RemoteUnavailable):
        await ask(card, trusting(secured, known=False))
    await server.stop(None)


async def test_a_model_of_the_site_s_own_goes_to_the_site_s_own_server() -> None:
    own = FakeModels()
    async with Servers(own, Site()).room(trouble_card(), NOW.shape):
        assert len(own.rooms) == 1
