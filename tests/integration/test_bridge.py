"""The bridge between a real DICOM peer (pynetdicom as SCU) and a gRPC server that plays ingest."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import generate_uid
from pynetdicom import AE, _config, evt
from pynetdicom.association import Association

from services.bridge.bootstrap import build
from services.bridge.model import STORAGE_CLASSES
from services.bridge.settings import Settings
from services.chassis import rpc
from services.chassis.health import Health
from services.chassis.log import Log
from services.chassis.principal import Principal
from services.chassis.service import Frame
from services.contracts import calls
from services.dicom import transfer_syntaxes
from services.dicom.part10 import file_header
from services.launcher.settings import free_port

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION = "1.2.840.10008.1.1"
EXPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2.1"
SIEMENS_CSA = "1.3.12.2.1107.5.9.1"
STORED = calls.StoreReply(outcome=calls.StoreReply.OUTCOME_STORED)


@dataclass
class Delivery:
    """What one stream brought."""

    principal: Principal
    files: list[bytes] = field(default_factory=list)
    announced: list[calls.Begin] = field(default_factory=list)
    ended: bool = False
    """The other side said that it is over."""
    over: bool = False
    """It is over, in whatever way."""


class Ingest(calls.IngestServicer):
    """Plays ingest: keeps what comes, replies as it is told."""

    def __init__(self) -> None:
        self.port = free_port()
        self.deliveries: list[Delivery] = []
        self.reply: Callable[[bytes], calls.StoreReply] = lambda _: STORED
        self.hold = asyncio.Event()
        self.hold.set()
        self.received = asyncio.Event()
        self._stack = AsyncExitStack()

    async def Store(self, request_iterator: Any, context: Any) -> AsyncIterator[calls.StoreReply]:
        delivery = Delivery(rpc.caller())
        self.deliveries.append(delivery)
        data = bytearray()
        try:
            async for request in request_iterator:
                match request.WhichOneof("part"):
                    case "whole":
                        delivery.announced.append(request.whole.begin)
                        self.received.set()
                        yield await self._kept(delivery, request.whole.file)
                    case "begin":
                        delivery.announced.append(request.begin)
                        data.clear()
                    case "chunk":
                        data += request.chunk
                        self.received.set()
                    case "end":
                        yield await self._kept(delivery, bytes(data))
            delivery.ended = True
        finally:
            delivery.over = True

    async def _kept(self, delivery: Delivery, file: bytes) -> calls.StoreReply:
        await self.hold.wait()
        reply = calls.StoreReply()
        reply.CopyFrom(self.reply(file))
        reply.sequence = delivery.announced[-1].sequence
        delivery.files.append(file)
        return reply

    @property
    def files(self) -> list[bytes]:
        """Everything that came whole."""
        return [file for delivery in self.deliveries for file in delivery.files]

    async def start(self) -> None:
        """Listen, on the same port each time."""
        await self._stack.enter_async_context(
            rpc.serving(
                "127.0.0.1",
                self.port,
                log=Log("ingest"),
                grace=0,
                add=lambda server: calls.add_IngestServicer_to_server(self, server),
            )
        )

    async def stop(self) -> None:
        """Go away, without a good-bye to open streams."""
        await self._stack.aclose()


@pytest_asyncio.fixture
async def ingest() -> AsyncIterator[Ingest]:
    """An ingest that takes everything."""
    server = Ingest()
    await server.start()
    yield server
    server.hold.set()
    await server.stop()


_connections: list[socket.socket] = []


@pytest.fixture(autouse=True)
def _sender() -> Iterator[None]:
    """Let the SCU send the bytes of files as they are, and close what it leaves open when its peer closed first."""
    before = _config.STORE_SEND_CHUNKED_DATASET
    _config.STORE_SEND_CHUNKED_DATASET = True
    yield
    _config.STORE_SEND_CHUNKED_DATASET = before
    while _connections:
        _connections.pop().close()


@asynccontextmanager
async def running(ingest: Ingest, **settings: Any) -> AsyncIterator[int]:
    """The bridge in this process; gives its DIMSE port."""
    port, stopping = free_port(), asyncio.Event()
    chosen = Settings(
        dimse_port=port, ingest_address=f"127.0.0.1:{ingest.port}", **{"ingest_reach_seconds": 1.0, **settings}
    )
    async with AsyncExitStack() as parts:
        runtime = await build(chosen, Frame("bridge", parts, Health(), Log("bridge"), stopping))
        background = [asyncio.create_task(work(stopping)) for work in runtime.background]
        try:
            yield port
        finally:
            stopping.set()
            await asyncio.gather(*background)


@pytest_asyncio.fixture
async def bridge(ingest: Ingest) -> AsyncIterator[int]:
    """The bridge as it is by default."""
    async with running(ingest) as port:
        yield port


def write(folder: Path, syntax: str = EXPLICIT_LITTLE_ENDIAN, *, data: bytes = b"", sop_class: str = CT) -> Path:
    """A file of any syntax: nobody on the way decodes it."""
    uid = generate_uid()
    path = folder / f"{uid}.dcm"
    data = data or os.urandom(1000)
    path.write_bytes(
        file_header(transfer_syntax_uid=syntax, sop_class_uid=sop_class, sop_instance_uid=uid, source_ae_title="X")
        + data
    )
    return path


def associate(port: int, *contexts: tuple[str, str], called: str = "PLEXUS", calling: str = "SCANNER") -> Association:
    """An association that proposes each (class, syntax) in a context of its own."""
    entity = AE(calling)
    for sop_class, syntax in contexts or [(CT, EXPLICIT_LITTLE_ENDIAN)]:
        entity.add_requested_context(sop_class, syntax)
    made = entity.associate("127.0.0.1", port, ae_title=called, evt_handlers=[(evt.EVT_CONN_OPEN, _remember)])
    # pynetdicom's own loop must not take the answers, which it does once in some 10,000, and the sender then waits for
    # ever: it may not yet have stopped when it says that it is paused. Whoever waits for an answer asks with `block`.
    take = made.dimse.get_msg
    made.dimse.get_msg = lambda block=False: take(block) if block else (None, None)  # type: ignore[method-assign]
    return made


def _remember(event: Any) -> None:
    _connections.append(event.assoc.dul.socket.socket)


def send(port: int, *paths: Path, **how: Any) -> list[Dataset]:
    """Send CT files of Explicit VR Little Endian over one association, and give the answers."""
    assoc = associate(port, **how)
    assert assoc.is_established
    answers = [assoc.send_c_store(path) for path in paths]
    assoc.release()
    return answers


async def until(true: Callable[[], Any]) -> None:
    """Wait for something to become true; the test's own time limit ends it."""
    while not true():
        await asyncio.sleep(0.01)


def data_set_of(file: bytes) -> bytes:
    """What follows the file meta information."""
    return file[144 + int.from_bytes(file[140:144], "little") :]


async def test_an_echo_is_answered_and_needs_no_delivery(bridge: int, ingest: Ingest) -> None:
    def echo() -> int:
        assoc = associate(bridge, (VERIFICATION, EXPLICIT_LITTLE_ENDIAN))
        status = assoc.send_c_echo().Status
        assoc.release()
        return int(status)

    assert await asyncio.to_thread(echo) == 0
    assert ingest.deliveries == []


async def test_data_sets_of_every_transfer_syntax_arrive_byte_for_byte(
    bridge: int, ingest: Ingest, tmp_path: Path
) -> None:
    sent = {known.uid: write(tmp_path, known.uid) for known in transfer_syntaxes.ALL}

    def send_all() -> list[int]:
        assoc = associate(bridge, *((CT, syntax) for syntax in sent))
        statuses = [int(assoc.send_c_store(path).Status) for path in sent.values()]
        assoc.release()
        return statuses

    assert await asyncio.to_thread(send_all) == [0] * len(sent)
    assert len(ingest.deliveries) == 1
    for (syntax, path), file in zip(sent.items(), ingest.files, strict=True):
        assert data_set_of(file) == data_set_of(path.read_bytes())
        meta = dcmread(BytesIO(file[: len(file) - 1000]), force=True).file_meta
        assert meta.TransferSyntaxUID == syntax
        assert meta.MediaStorageSOPInstanceUID == path.stem
        assert meta.MediaStorageSOPClassUID == CT


async def test_every_storage_class_is_accepted(bridge: int, ingest: Ingest, tmp_path: Path) -> None:
    classes = sorted(STORAGE_CLASSES)

    def send_each(some: list[str]) -> list[int]:
        assoc = associate(bridge, *((uid, EXPLICIT_LITTLE_ENDIAN) for uid in some))
        statuses = [int(assoc.send_c_store(write(tmp_path, sop_class=uid)).Status) for uid in some]
        assoc.release()
        return statuses

    # An association holds 128 contexts at most.
    for some in (classes[:100], classes[100:]):
        assert await asyncio.to_thread(send_each, some) == [0] * len(some)
    assert [begin.sop_class_uid for delivery in ingest.deliveries for begin in delivery.announced] == classes


@pytest.mark.parametrize(("accept", "status"), [(True, 0), (False, None)])
async def test_unknown_classes_are_stored_where_the_site_wants_it(
    ingest: Ingest, tmp_path: Path, accept: bool, status: int | None
) -> None:
    def store(port: int) -> int | None:
        assoc = associate(port, (SIEMENS_CSA, EXPLICIT_LITTLE_ENDIAN), (VERIFICATION, EXPLICIT_LITTLE_ENDIAN))
        accepted = [context.abstract_syntax for context in assoc.accepted_contexts]
        found = assoc.send_c_store(write(tmp_path, sop_class=SIEMENS_CSA)).Status if SIEMENS_CSA in accepted else None
        assoc.release()
        return found

    async with running(ingest, accept_unknown_sop_classes=accept) as port:
        assert await asyncio.to_thread(store, port) == status


async def test_an_association_is_one_delivery_in_the_name_of_its_ae_title(
    bridge: int, ingest: Ingest, tmp_path: Path
) -> None:
    paths = [write(tmp_path) for _ in range(3)]
    answers = await asyncio.to_thread(send, bridge, *paths)
    assert [answer.Status for answer in answers] == [0, 0, 0]
    (delivery,) = ingest.deliveries
    await until(lambda: delivery.over)
    assert delivery.ended
    assert [begin.sop_instance_uid for begin in delivery.announced] == [path.stem for path in paths]
    assert delivery.principal == Principal("SCANNER", proved_by="ae-title", source="127.0.0.1")


async def test_the_same_instance_from_another_sender_is_the_same_file(
    bridge: int, ingest: Ingest, tmp_path: Path
) -> None:
    path = write(tmp_path)
    for calling in ("SCANNER", "PACS"):
        await asyncio.to_thread(lambda calling=calling: send(bridge, path, calling=calling))
    first, second = ingest.files
    assert first == second


async def test_four_associations_at_once_are_four_deliveries(bridge: int, ingest: Ingest, tmp_path: Path) -> None:
    batches = [[write(tmp_path) for _ in range(5)] for _ in range(4)]
    answers = await asyncio.gather(*(asyncio.to_thread(send, bridge, *batch) for batch in batches))
    assert {answer.Status for batch in answers for answer in batch} == {0}
    found = sorted([begin.sop_instance_uid for begin in delivery.announced] for delivery in ingest.deliveries)
    assert found == sorted([path.stem for path in batch] for batch in batches)


@pytest.mark.parametrize(
    ("reply", "status", "comment"),
    [
        (STORED, 0x0000, ""),
        (calls.StoreReply(outcome=calls.StoreReply.OUTCOME_UNCHANGED), 0x0000, ""),
        (calls.StoreReply(outcome=calls.StoreReply.OUTCOME_KEPT_FIRST), 0xB000, "other bytes have this UID"),
        (
            calls.StoreReply(
                outcome=calls.StoreReply.OUTCOME_REFUSED,
                failure_reason=0xA900,
                reason_code="sop-class-mismatch",
                reason="the data set is of another SOP class",
            ),
            0xA900,
            "sop-class-mismatch: the data set is of another SOP class",
        ),
        (calls.StoreReply(outcome=calls.StoreReply.OUTCOME_REFUSED, failure_reason=0x0122), 0x0122, ""),
        (calls.StoreReply(outcome=calls.StoreReply.OUTCOME_UNAVAILABLE, failure_reason=0xA700), 0xA700, ""),
        (calls.StoreReply(), 0xA700, ""),
    ],
)
async def test_the_sender_hears_what_the_store_said(
    bridge: int, ingest: Ingest, tmp_path: Path, reply: calls.StoreReply, status: int, comment: str
) -> None:
    ingest.reply = lambda _: reply
    (answer,) = await asyncio.to_thread(send, bridge, write(tmp_path))
    assert answer.Status == status
    assert str(answer.get("ErrorComment", "")).startswith(comment)


async def test_success_is_said_only_after_the_store_has_said_so(bridge: int, ingest: Ingest, tmp_path: Path) -> None:
    ingest.hold.clear()
    sending = asyncio.create_task(asyncio.to_thread(send, bridge, write(tmp_path)))
    await ingest.received.wait()
    await asyncio.sleep(0.3)
    assert not sending.done()
    ingest.hold.set()
    assert (await sending)[0].Status == 0


async def test_without_ingest_the_sender_hears_that_it_may_try_again(ingest: Ingest, tmp_path: Path) -> None:
    await ingest.stop()
    async with running(ingest, ingest_reach_seconds=0.2) as port:
        answers = await asyncio.to_thread(send, port, write(tmp_path), write(tmp_path))
        assert [answer.Status for answer in answers] == [0xA700, 0xA700]


async def test_an_ingest_that_takes_too_long_is_an_ingest_that_is_away(ingest: Ingest, tmp_path: Path) -> None:
    ingest.hold.clear()
    async with running(ingest, store_timeout_seconds=0.3) as port:
        (answer,) = await asyncio.to_thread(send, port, write(tmp_path))
        assert answer.Status == 0xA700
        assert answer.ErrorComment.startswith("ingest-too-slow")


async def test_an_ingest_that_dies_costs_the_instance_in_hand_and_no_other(
    bridge: int, ingest: Ingest, tmp_path: Path
) -> None:
    assoc = await asyncio.to_thread(associate, bridge)
    assert (await asyncio.to_thread(assoc.send_c_store, write(tmp_path))).Status == 0
    ingest.hold.clear()
    ingest.received.clear()
    second = asyncio.create_task(asyncio.to_thread(assoc.send_c_store, write(tmp_path)))
    await ingest.received.wait()
    await ingest.stop()
    assert (await second).Status == 0xA700
    ingest.hold.set()
    await ingest.start()
    assert (await asyncio.to_thread(assoc.send_c_store, write(tmp_path))).Status == 0
    await asyncio.to_thread(assoc.release)
    assert len(ingest.deliveries) == 2
    assert len(ingest.files) == 2


async def test_a_reply_to_another_instance_is_no_answer_to_this_one(
    bridge: int, ingest: Ingest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def store(self: Ingest, requests: Any, context: Any) -> AsyncIterator[calls.StoreReply]:
        async for request in requests:
            if request.WhichOneof("part") in ("end", "whole"):
                yield calls.StoreReply(sequence="another", outcome=calls.StoreReply.OUTCOME_STORED)

    await ingest.stop()
    monkeypatch.setattr(Ingest, "Store", store)
    await ingest.start()
    (answer,) = await asyncio.to_thread(send, bridge, write(tmp_path))
    assert answer.Status == 0xA700


async def test_an_abort_between_two_instances_ends_the_delivery_in_order(
    bridge: int, ingest: Ingest, tmp_path: Path
) -> None:
    assoc = await asyncio.to_thread(associate, bridge)
    assert (await asyncio.to_thread(assoc.send_c_store, write(tmp_path))).Status == 0
    await asyncio.to_thread(assoc.abort)
    (delivery,) = ingest.deliveries
    await until(lambda: delivery.over)
    assert delivery.ended
    assert len(delivery.files) == 1


async def test_a_connection_that_is_lost_in_the_middle_of_an_instance_stores_nothing(
    bridge: int, ingest: Ingest, tmp_path: Path
) -> None:
    path = write(tmp_path, data=os.urandom(5_000_000))
    assoc = await asyncio.to_thread(associate, bridge)
    connection = assoc.dul.socket
    assert connection is not None
    wire = connection.socket
    assert wire is not None
    send_all, sent = connection.send, 0

    def send_some(data: bytes) -> None:
        nonlocal sent
        sent += len(data)
        if sent > 3_000_000:
            while not ingest.received.is_set():  # some of it is with ingest already
                time.sleep(0.01)
            wire.close()
        send_all(data)

    connection.send = send_some  # type: ignore[method-assign]
    await asyncio.to_thread(assoc.send_c_store, path)
    (delivery,) = ingest.deliveries
    await until(lambda: delivery.over)
    assert delivery.files == []
    assert [answer.Status for answer in await asyncio.to_thread(send, bridge, write(tmp_path))] == [0]


async def test_the_wrong_called_ae_title_is_rejected(bridge: int) -> None:
    assoc = await asyncio.to_thread(associate, bridge, called="OTHER")
    assert assoc.is_rejected
    assert assoc.acceptor.primitive.diagnostic == 0x07  # called AE title not recognised


async def test_only_listed_callers_come_in_when_there_is_a_list(ingest: Ingest, tmp_path: Path) -> None:
    async with running(ingest, calling_ae_titles="CT1,CT2", any_called_ae_title=True) as port:
        assoc = await asyncio.to_thread(associate, port, calling="CT3")
        assert assoc.is_rejected
        assert assoc.acceptor.primitive.diagnostic == 0x03  # calling AE title not recognised
        (answer,) = await asyncio.to_thread(lambda: send(port, write(tmp_path), calling="CT2", called="WHATEVER"))
        assert answer.Status == 0


async def test_one_association_too_many_is_rejected_and_room_is_made_again(ingest: Ingest) -> None:
    async with running(ingest, max_associations=2) as port:
        open_ones = [await asyncio.to_thread(associate, port) for _ in range(2)]
        third = await asyncio.to_thread(associate, port)
        assert third.is_rejected
        assert third.acceptor.primitive.diagnostic == 0x02  # local limit exceeded
        await asyncio.to_thread(open_ones[0].release)
        again = await asyncio.to_thread(_until_established, port)
        for assoc in (open_ones[1], again):
            await asyncio.to_thread(assoc.release)


def _until_established(port: int) -> Association:
    while not (assoc := associate(port)).is_established:
        pass
    return assoc


async def test_probes_that_only_connect_take_no_room_from_senders(ingest: Ingest, tmp_path: Path) -> None:
    async with running(ingest, max_associations=2) as port:
        for _ in range(20):
            socket.create_connection(("127.0.0.1", port)).close()
        await asyncio.sleep(1)
        assert [answer.Status for answer in await asyncio.to_thread(send, port, write(tmp_path))] == [0]


@pytest.mark.parametrize(
    "hostile",
    [
        b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
        b"\x01\x00\xff\xff\xff\xff" + bytes(100),
        b"\x04\x00\x00\x00\x00\x04" + bytes(4),
        bytes(10_000),
        b"",
    ],
)
async def test_what_is_not_dicom_is_let_go_and_the_service_goes_on(
    bridge: int, ingest: Ingest, tmp_path: Path, hostile: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", bridge)) as connection:
        connection.sendall(hostile)
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(30)

        def drained() -> bool:
            try:
                while connection.recv(1000):
                    pass
            except ConnectionResetError:
                pass
            return True

        assert await asyncio.to_thread(drained)
    assert [answer.Status for answer in await asyncio.to_thread(send, bridge, write(tmp_path))] == [0]


async def test_a_taken_port_is_an_error_that_names_it(ingest: Ingest) -> None:
    from services.chassis.faults import PermanentFault

    async with running(ingest) as port:
        settings = Settings(dimse_port=port)
        async with AsyncExitStack() as parts:
            with pytest.raises(PermanentFault, match=str(port)):
                await build(settings, Frame("bridge", parts, Health(), Log("bridge"), asyncio.Event()))


async def test_on_sigterm_the_instance_in_hand_is_finished_and_nothing_private_was_printed(
    ingest: Ingest, tmp_path: Path
) -> None:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.PatientName = CT, generate_uid(), "Private^Person"
    body = BytesIO()
    dcmwrite(body, ds, implicit_vr=False, little_endian=True)
    path = write(tmp_path, data=body.getvalue())
    port, spans = free_port(), tmp_path / "spans.jsonl"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.bridge",
        env={
            **os.environ,
            "PLEXUS_BRIDGE_HTTP_PORT": str(free_port()),
            "PLEXUS_BRIDGE_DIMSE_PORT": str(port),
            "PLEXUS_BRIDGE_INGEST_ADDRESS": f"127.0.0.1:{ingest.port}",
            "PLEXUS_BRIDGE_SPANS_FILE": str(spans),
        },
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    assert process.stdout is not None
    printed = b""
    while b"dimse.listening" not in printed:
        printed += await process.stdout.readline()
    assoc = await asyncio.to_thread(associate, port)
    ingest.hold.clear()
    sending = asyncio.create_task(asyncio.to_thread(assoc.send_c_store, path))
    await ingest.received.wait()
    process.send_signal(signal.SIGTERM)
    while b"service.draining" not in printed:
        printed += await process.stdout.readline()
    late = await asyncio.to_thread(associate, port)
    assert not late.is_established
    ingest.hold.set()
    assert (await sending).Status == 0
    printed += await process.stdout.read()
    assert await process.wait() == 0
    await until(lambda: not assoc.is_established)
    (delivery,) = ingest.deliveries
    assert delivery.ended

    written = spans.read_text()
    trace = {span["name"]: span for span in map(json.loads, written.splitlines())}
    association = trace["dimse association"]
    assert association["parent_span_id"] == ""
    for child in ("dimse C-STORE", "plexus.ingest.v1.Ingest/Store"):
        assert trace[child]["parent_span_id"] == association["span_id"]
        assert trace[child]["trace_id"] == association["trace_id"]
    assert trace["dimse C-STORE"]["attributes"]["plexus.outcome"] == "stored"
    for private in ("Private", "Person", ds.SOPInstanceUID):
        assert private not in printed.decode() + written
    assert not re.search(r"Traceback|Exception", printed.decode())
