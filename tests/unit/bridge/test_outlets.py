"""The outlets of results against real receivers: a storage SCP, and a small DICOMweb store that follows PS3.18 10.5."""

from __future__ import annotations

import asyncio
import http.server
import json
import socket
import ssl
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme
from pynetdicom import AE, evt
from pynetdicom.sop_class import EncapsulatedPDFStorage, SegmentationStorage  # type: ignore[attr-defined]

from services.bridge.adapters.line import Caller
from services.bridge.adapters.storing import AssociationOutlet
from services.bridge.adapters.stow import Keys, StowOutlet
from services.bridge.destinations import Entity, Root
from services.bridge.draining import Drain
from services.bridge.errors import UnansweredError, UnheldError, UnreachableError
from services.bridge.exchanging import Address, Place, Recipient
from services.bridge.outlets import Outlet, Parcel
from services.chassis.principal import Principal
from services.dicom.multipart import MultipartParser, PartBegin, PartData, multipart_boundary
from services.dicom.part10 import data_set_start, file_header
from services.dicom.stow import Failed, Stored, status_code, store_response_json
from services.launcher.settings import free_port

EXPLICIT = "1.2.840.10008.1.2.1"
SEG, PDF = str(SegmentationStorage), str(EncapsulatedPDFStorage)
LARGE = 300_000


class Shelf:
    """A library with results of any size, which remembers how they were read."""

    def __init__(self, *, breaks: bool = False) -> None:
        self.breaks = breaks
        self.closed = 0

    def data(self, uid: str) -> bytes:
        """A data set of the length that the last component of its UID says."""
        value = uid.encode() + b"\0" * (len(uid) % 2)
        element = b"\x08\x00\x18\x00UI" + len(value).to_bytes(2, "little") + value
        size = int(uid.rpartition(".")[2])
        return element + b"\xe0\x7f\x10\x00OB\0\0" + size.to_bytes(4, "little") + b"\x07" * size

    def parcel(self, uid: str, sop_class: str = SEG) -> Parcel:
        """One of them, to send."""
        size = len(self._header(uid, sop_class)) + len(self.data(uid))
        return Parcel(Place("1.1", "1.2", uid, sop_class, EXPLICIT, size), self)  # type: ignore[arg-type]

    async def read(
        self, place: Place, syntax: str, principal: Principal, *, to: Recipient | None = None
    ) -> AsyncGenerator[bytes]:
        """The data set, in pieces."""
        data = self.data(place.sop_instance_uid)
        try:
            for start in range(0, len(data), 1000):
                if self.breaks and start:
                    raise UnansweredError("archive-too-slow", "the archive does not send an instance")
                yield data[start : start + 1000]
        finally:
            self.closed += 1

    async def file(self, place: Place, principal: Principal, *, to: Recipient | None = None) -> AsyncGenerator[bytes]:
        """The file, in pieces."""
        yield self._header(place.sop_instance_uid, place.sop_class_uid)
        async for chunk in self.read(place, EXPLICIT, principal):
            yield chunk

    def _header(self, uid: str, sop_class: str) -> bytes:
        return file_header(transfer_syntax_uid=EXPLICIT, sop_class_uid=sop_class, sop_instance_uid=uid)


class Receiver:
    """What takes results, and answers each with the next of its statuses (then 0000)."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.taken: dict[str, bytes] = {}

    def take(self, uid: str, data_set: bytes) -> int:
        """An instance has come."""
        status = self.statuses.pop(0) if self.statuses else 0x0000
        if status in (0x0000, 0xB000):
            assert uid not in self.taken
            self.taken[uid] = data_set
        return status


class Store(http.server.ThreadingHTTPServer):
    """A DICOMweb store; `answers` come before its own."""

    def __init__(self, receiver: Receiver) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.receiver = receiver
        self.requests: list[Any] = []
        self.connections = 0
        self.answers: list[tuple[int, dict[str, str], bytes]] = []

    def stow(self, head: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        """Store the parts of a request."""
        parser, parts = MultipartParser(multipart_boundary(head["Content-Type"])), []
        for event in [*parser.feed(body), *(parser.close() or [])]:
            if isinstance(event, PartBegin):
                assert event.headers["content-type"] == "application/dicom"
                parts.append(b"")
            elif isinstance(event, PartData):
                parts[-1] += event.data
        stored: list[Stored] = []
        failed: list[Failed] = []
        for part in parts:
            data_set = part[data_set_start(part) :]
            uid = data_set[8 : 8 + int.from_bytes(data_set[6:8], "little")].rstrip(b"\0").decode()
            status = self.receiver.take(uid, data_set)
            if status in (0x0000, 0xB000):
                stored.append(Stored(SEG, uid, "https://pacs.example", status or None))
            else:
                failed.append(Failed(status, SEG, uid))
        kind = {"Content-Type": "application/dicom+json"}
        return status_code(stored, failed), kind, store_response_json(None, stored, failed)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Store

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, self.headers))
        if self.path != "/dicom-web/studies":
            answer: tuple[int, dict[str, str], bytes] = (404, {}, b"")
        elif self.server.answers:
            answer = self.server.answers.pop(0)
        else:
            answer = self.server.stow(self.headers, body)
        status, headers, payload = answer
        self.send_response(status)
        for name, value in {"Content-Length": str(len(payload)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(payload)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def serving(receiver: Receiver, context: ssl.SSLContext | None = None) -> Iterator[Store]:
    with Store(receiver) as store:
        if context is not None:
            store.socket = context.wrap_socket(store.socket, server_side=True)
        thread = threading.Thread(target=store.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield store
        finally:
            store.shutdown()
            thread.join()


def root_of(store: Store, scheme: str = "http", path: str = "/dicom-web") -> Root:
    return Root(f"{scheme}://127.0.0.1:{store.server_address[1]}{path}")


@asynccontextmanager
async def by_stow(receiver: Receiver) -> AsyncIterator[Outlet]:
    with serving(receiver) as store:
        yield StowOutlet(root_of(store), Keys(), patience=10.0)
    assert all(head["Transfer-Encoding"] is None for _, head in store.requests)


@asynccontextmanager
async def by_association(receiver: Receiver) -> AsyncIterator[Outlet]:
    def handle(event: Any) -> int:
        return receiver.take(str(event.request.AffectedSOPInstanceUID), event.request.DataSet.getvalue())

    pacs, port = AE("PACS"), free_port()
    pacs.add_supported_context(SegmentationStorage)
    server = pacs.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, handle)])
    try:
        caller = Caller(max_pdu_bytes=65536, patience=20.0)
        entity = Entity("PACS", Address("127.0.0.1", port))
        yield AssociationOutlet(entity, caller, Nobody(), ae_title="PLEXUS")
    finally:
        assert server is not None
        await asyncio.to_thread(server.shutdown)


class Nobody:
    """An address book that is empty."""

    def of(self, ae_title: str) -> Address | None:
        """Nobody is known."""
        return None


By = Callable[[Receiver], AbstractAsyncContextManager[Outlet]]
both = pytest.mark.parametrize("by", [by_stow, by_association])


async def hand_in(outlet: Outlet, *parcels: Parcel) -> list[int | None]:
    async with outlet.open([parcel.place for parcel in parcels]) as counter:
        return [await counter.hand_in(parcel) for parcel in parcels]


@both
async def test_results_arrive_byte_by_byte_in_order(by: By) -> None:
    receiver, shelf = Receiver(), Shelf()
    uids = ["1.3.0", f"1.3.{LARGE}", "1.3.10"]
    async with by(receiver) as outlet:
        assert await hand_in(outlet, *map(shelf.parcel, uids)) == [0, 0, 0]
        to = outlet.recipient()
        assert to is not None
        assert to.host == "127.0.0.1"
    assert list(receiver.taken) == uids
    assert receiver.taken == {uid: shelf.data(uid) for uid in uids}


@both
async def test_what_the_destination_says_of_each_is_a_status_of_c_store(by: By) -> None:
    receiver, shelf = Receiver(), Shelf()
    receiver.statuses = [0xB000, 0xA700, 0xC000, 0x0122, 0x0000]
    async with by(receiver) as outlet:
        answered = await hand_in(outlet, *(shelf.parcel(f"1.3.{2 * number}") for number in range(5)))
    assert answered == [0xB000, 0xA700, 0xC000, 0x0122, 0x0000]
    assert list(receiver.taken) == ["1.3.0", "1.3.8"]


@both
async def test_an_archive_that_breaks_off_leaves_nothing_half_at_the_destination(by: By) -> None:
    receiver, shelf = Receiver(), Shelf(breaks=True)
    async with by(receiver) as outlet:
        with pytest.raises(UnansweredError):
            await hand_in(outlet, shelf.parcel(f"1.3.{LARGE}"))
        assert shelf.closed == 1
        assert receiver.taken == {}
        shelf.breaks = False
        assert await hand_in(outlet, shelf.parcel(f"1.3.{LARGE}")) == [0]


async def test_a_class_that_an_entity_does_not_know_is_told_and_a_peer_without_an_address_is_not_called() -> None:
    receiver, shelf = Receiver(), Shelf()
    async with by_association(receiver) as outlet:
        assert await hand_in(outlet, shelf.parcel("1.3.0", PDF), shelf.parcel("1.3.2")) == [0x0122, 0]
    outlet = AssociationOutlet(Entity("ELSEWHERE"), Caller(max_pdu_bytes=65536, patience=2), Nobody(), ae_title="X")
    assert outlet.recipient() is None
    with pytest.raises(UnreachableError) as fault:
        await hand_in(outlet, shelf.parcel("1.3.0"))
    assert fault.value.code == "peer-unknown"


async def test_an_entity_that_does_not_negotiate_is_left_soon() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        entity = Entity("PACS", Address("127.0.0.1", silent.getsockname()[1]))
        caller = Caller(max_pdu_bytes=65536, patience=600.0, acse_seconds=0.2)
        with pytest.raises(UnreachableError) as fault:
            await hand_in(AssociationOutlet(entity, caller, Nobody(), ae_title="PLEXUS"), Shelf().parcel("1.3.0"))
    assert fault.value.code == "peer-unreachable"


async def test_an_association_that_ends_between_two_results_is_no_word_on_their_class() -> None:
    def leave(event: Any) -> int:
        threading.Timer(0.05, event.assoc.abort).start()
        return 0

    pacs, port, shelf = AE("PACS"), free_port(), Shelf()
    pacs.add_supported_context(SegmentationStorage)
    server = pacs.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, leave)])
    entity = Entity("PACS", Address("127.0.0.1", port))
    outlet = AssociationOutlet(entity, Caller(max_pdu_bytes=65536, patience=5.0), Nobody(), ae_title="PLEXUS")
    try:
        first, second = shelf.parcel("1.3.0"), shelf.parcel("1.3.2")
        async with outlet.open([first.place, second.place]) as counter:
            assert await counter.hand_in(first) == 0
            await asyncio.sleep(0.3)
            assert await counter.hand_in(second) is None
    finally:
        assert server is not None
        await asyncio.to_thread(server.shutdown)


@asynccontextmanager
async def deaf_entity(heard: asyncio.Event) -> AsyncIterator[Outlet]:
    """An application entity that takes an instance and does not answer for a while."""
    loop, let_go = asyncio.get_running_loop(), threading.Event()

    def wait(event: Any) -> int:
        loop.call_soon_threadsafe(heard.set)
        let_go.wait(30)
        return 0

    pacs, port = AE("PACS"), free_port()
    pacs.add_supported_context(SegmentationStorage)
    server = pacs.start_server(("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_C_STORE, wait)])
    entity = Entity("PACS", Address("127.0.0.1", port))
    yield AssociationOutlet(entity, Caller(max_pdu_bytes=65536, patience=300.0), Nobody(), ae_title="PLEXUS")
    let_go.set()
    assert server is not None
    await asyncio.to_thread(server.shutdown)


@asynccontextmanager
async def deaf_service(heard: asyncio.Event) -> AsyncIterator[Outlet]:
    """A service that takes a connection and never says anything."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.set()
        while await reader.read(65536):
            pass
        writer.close()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as server:
        yield StowOutlet(
            Root(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/dicom-web"), Keys(), patience=300.0
        )


@pytest.mark.parametrize("deaf", [deaf_service, deaf_entity])
async def test_a_process_that_stops_does_not_wait_for_a_destination_that_never_answers(deaf: Any) -> None:
    stopping, heard = asyncio.Event(), asyncio.Event()

    async def send(outlet: Outlet) -> None:
        await hand_in(outlet, Shelf().parcel("1.3.0"))

    async with deaf(heard) as outlet:
        in_hand = asyncio.create_task(Drain(stopping, seconds=0.1).bounded(send(outlet)))
        await heard.wait()
        assert not in_hand.done()
        stopping.set()
        with pytest.raises(UnreachableError) as fault:
            await in_hand
    assert fault.value.code == "stopping"


async def test_a_process_that_stops_ends_what_is_nearly_done() -> None:
    stopping, done = asyncio.Event(), []

    async def nearly() -> None:
        stopping.set()
        await asyncio.sleep(0.05)
        done.append(1)

    await Drain(stopping, seconds=30).bounded(nearly())
    assert done == [1]


async def test_one_connection_is_enough_for_all_results_of_a_job() -> None:
    shelf = Shelf()
    with serving(Receiver()) as store:
        outlet = StowOutlet(root_of(store), Keys(), patience=10.0)
        await hand_in(outlet, *(shelf.parcel(f"1.3.{number}") for number in (0, 2, 4)))
    assert store.connections == 1
    assert {head["Accept"] for _, head in store.requests} == {"application/dicom+json"}


async def test_a_redirect_is_not_followed() -> None:
    with serving(Receiver()) as elsewhere, serving(Receiver()) as store:
        store.answers = [(307, {"Location": f"{root_of(elsewhere).name}/studies"}, b"")]
        with pytest.raises(UnheldError, match="redirects are not followed"):
            await hand_in(StowOutlet(root_of(store), Keys(), patience=10.0), Shelf().parcel("1.3.0"))
        assert elsewhere.requests == []


async def test_an_answer_without_end_is_not_read() -> None:
    with serving(Receiver()) as store:
        store.answers = [(200, {"Content-Type": "application/dicom+json"}, b" " * 2_000_000)]
        with pytest.raises(UnheldError) as fault:
            await hand_in(StowOutlet(root_of(store), Keys(), patience=10.0), Shelf().parcel("1.3.0"))
    assert fault.value.code == "peer-unclear"


async def test_a_service_that_asks_to_be_left_alone_is_until_then() -> None:
    now, shelf = [0.0], Shelf()
    with serving(Receiver()) as store:
        outlet = StowOutlet(root_of(store), Keys(), patience=10.0, clock=lambda: now[0])
        store.answers = [(503, {"Retry-After": "60"}, b""), (429, {}, b"")]
        with pytest.raises(UnreachableError) as fault:
            await hand_in(outlet, shelf.parcel("1.3.0"))
        assert fault.value.code == "peer-busy"
        now[0] = 59.0
        with pytest.raises(UnreachableError) as fault:
            await hand_in(outlet, shelf.parcel("1.3.0"))
        assert fault.value.code == "peer-asked-to-wait"
        assert len(store.requests) == 1
        now[0] = 60.0
        with pytest.raises(UnreachableError):
            await hand_in(outlet, shelf.parcel("1.3.0"))
        assert await hand_in(outlet, shelf.parcel("1.3.0")) == [0]  # a 429 that names no time


async def test_a_url_at_which_there_is_no_store_is_final_and_a_service_that_is_away_is_not() -> None:
    shelf = Shelf()
    with serving(Receiver()) as store:
        with pytest.raises(UnheldError, match="no DICOMweb store"):
            await hand_in(StowOutlet(root_of(store, path="/pacs"), Keys(), patience=10.0), shelf.parcel("1.3.0"))
        away = root_of(store)
    with pytest.raises(UnreachableError) as fault:
        await hand_in(StowOutlet(away, Keys(), patience=10.0), shelf.parcel("1.3.0"))
    assert fault.value.code == "peer-unreachable"


async def test_a_service_that_never_answers_is_left() -> None:
    silent = socket.create_server(("127.0.0.1", 0))
    port = silent.getsockname()[1]
    with pytest.raises(UnreachableError) as fault:
        await hand_in(
            StowOutlet(Root(f"http://127.0.0.1:{port}/dicom-web"), Keys(), patience=0.2), Shelf().parcel("1.3.0")
        )
    silent.close()
    assert fault.value.code == "peer-left"


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """A server that wants a certificate, and the folder with ours, its authority and a token."""
    folder, authority = tmp_path_factory.mktemp("stow"), trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    trustme.CA().cert_pem.write_to_path(str(folder / "other.pem"))
    client = authority.issue_cert("plexus")
    client.cert_chain_pems[0].write_to_path(str(folder / "certificate.pem"))
    client.private_key_pem.write_to_path(str(folder / "key.pem"))
    (folder / "tokens").mkdir()
    (folder / "tokens" / "127.0.0.1").write_text("a-secret\n")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context, folder


async def test_by_tls_a_service_hears_the_token_and_sees_our_certificate(secured: tuple[ssl.SSLContext, Path]) -> None:
    context, folder = secured
    ours = folder / "certificate.pem", folder / "key.pem"
    with serving(Receiver(), context) as store:
        keys = Keys(folder / "ca.pem", ours, folder / "tokens")
        assert await hand_in(StowOutlet(root_of(store, "https"), keys, patience=10.0), Shelf().parcel("1.3.0")) == [0]
    ((_, head),) = store.requests
    assert head["Authorization"] == "Bearer a-secret"


async def test_a_token_never_goes_out_in_the_clear(secured: tuple[ssl.SSLContext, Path]) -> None:
    with serving(Receiver()) as store:
        keys = Keys(tokens=secured[1] / "tokens")
        await hand_in(StowOutlet(root_of(store), keys, patience=10.0), Shelf().parcel("1.3.0"))
    ((_, head),) = store.requests
    assert head["Authorization"] is None


@pytest.mark.parametrize(
    ("authority", "shows", "code"),
    [("other.pem", True, "peer-not-trusted"), ("ca.pem", False, "peer-tls-failed"), ("no.pem", True, "tls-not-usable")],
)
async def test_without_trust_on_both_sides_nothing_is_sent_and_it_is_said_why(
    secured: tuple[ssl.SSLContext, Path], authority: str, shows: bool, code: str
) -> None:
    context, folder = secured
    ours = (folder / "certificate.pem", folder / "key.pem") if shows else None
    with serving(Receiver(), context) as store:
        outlet = StowOutlet(root_of(store, "https"), Keys(folder / authority, ours), patience=10.0)
        with pytest.raises(UnreachableError) as fault:
            await hand_in(outlet, Shelf().parcel("1.3.0"))
    assert fault.value.code in (code, "peer-left" if not shows else code)
    assert store.requests == []


@pytest.mark.parametrize("written", [b"two\nlines", b"\xff\xfe"])
def test_a_file_that_holds_no_token_is_told_and_not_quoted(tmp_path: Path, written: bytes) -> None:
    (tmp_path / "pacs.example").write_bytes(written)
    with pytest.raises(UnreachableError) as fault:
        Keys(tokens=tmp_path).headers_for(Root("https://pacs.example/dicom-web"))
    assert fault.value.code == "token-not-usable"
    assert "lines" not in str(fault.value)
    assert "a-secret" not in json.dumps(fault.value.args)


def test_a_host_without_a_file_gets_no_token(tmp_path: Path) -> None:
    assert Keys(tokens=tmp_path).headers_for(Root("https://pacs.example/dicom-web")) == {}
