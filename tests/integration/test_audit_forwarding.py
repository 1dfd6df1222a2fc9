"""The log forwarded: by syslog over TLS to a real listener, by FHIR to a real server; in order, nothing left out."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest
import trustme

from services.audit.adapters.feed import FhirReceiver
from services.audit.adapters.syslog import SyslogReceiver, tls
from services.audit.errors import ReceiverError
from services.audit.handlers import recording
from services.audit.handlers.forwarding import forward, keep_forwarding
from services.audit.ports import Receiver
from services.chassis.log import Log
from tests.unit.audit.memory import Archive, MemoryLedger, recorded


class Listener:
    """Takes syslog messages over TLS, and reads them as RFC 5425 frames them."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca, self.certificate, self.key = (folder / f"{name}.pem" for name in ("ca", "certificate", "key"))
        authority.cert_pem.write_to_path(str(self.ca))
        client = authority.issue_cert("plexus")
        client.cert_chain_pems[0].write_to_path(str(self.certificate))
        client.private_key_pem.write_to_path(str(self.key))
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(self._context)
        authority.issue_cert("127.0.0.1").configure_cert(self._context)
        self.messages: list[bytes] = []
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._take, "127.0.0.1", self.port, ssl=self._context)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            for writer in self._writers:
                writer.transport.abort()
            self._writers.clear()
            await asyncio.sleep(0)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while length := await reader.readuntil(b" "):
                self.messages.append(await reader.readexactly(int(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.transport.abort()

    def ids(self) -> list[str]:
        """The records that came, by the order in which they came."""
        return [_record_of(message) for message in self.messages]


def _record_of(message: bytes) -> str:
    root = ElementTree.fromstring(message.partition(b"\xef\xbb\xbf")[2])
    (found,) = [each for each in root.iter("ParticipantObjectDetail") if each.attrib["type"] == "record_id"]
    return base64.b64decode(found.attrib["value"]).decode()


@pytest.fixture
def listener(tmp_path: Path) -> Listener:
    return Listener(tmp_path)


@pytest.fixture
def syslog(listener: Listener) -> Iterator[Callable[[], SyslogReceiver]]:
    made: list[SyslogReceiver] = []

    def make() -> SyslogReceiver:
        context = tls(listener.ca, listener.certificate, listener.key)
        made.append(SyslogReceiver("127.0.0.1", listener.port, context, seconds=10))
        return made[-1]

    yield make
    for each in made:
        each.close()


async def fill(ledger: MemoryLedger, start: int, count: int) -> list[str]:
    records = [recorded(number) for number in range(start, start + count)]
    await recording.record(records, ledger=ledger)
    return [record.record_id for record in records]


async def send(ledger: MemoryLedger, receiver: Receiver, at_once: int = 4) -> int:
    return await forward(ledger=ledger, cursors=ledger, patients=Archive(), receiver=receiver, at_once=at_once)


async def test_records_come_in_order_each_in_its_frame_and_with_the_header_of_rfc_5424(
    listener: Listener, syslog: Callable[[], SyslogReceiver]
) -> None:
    ledger = MemoryLedger()
    sent = await fill(ledger, 0, 10)
    async with listener.listening():
        receiver = syslog()
        assert [await send(ledger, receiver) for _ in range(4)] == [4, 4, 2, 0]
        while len(listener.messages) < 10:
            await asyncio.sleep(0.01)
    assert listener.ids() == sent
    header = listener.messages[0].partition(b"\xef\xbb\xbf")[0].decode().split(" ")
    assert header[:2] == ["<85>1", "2026-11-21T12:00:00.000Z"]
    assert header[3:] == ["plexus", "-", "DICOM+RFC3881", "-", ""]
    assert b'ParticipantObjectID="P1"' in listener.messages[0]


async def test_a_receiver_that_was_away_gets_what_it_missed_and_nothing_twice(
    listener: Listener, syslog: Callable[[], SyslogReceiver]
) -> None:
    ledger = MemoryLedger()
    sent = await fill(ledger, 0, 4)
    async with listener.listening():
        receiver = syslog()
        await send(ledger, receiver)
        while len(listener.messages) < 4:
            await asyncio.sleep(0.01)
    sent += await fill(ledger, 4, 4)
    with pytest.raises(ReceiverError):
        await send(ledger, receiver)
    assert ledger.cursors["syslog"] == 4
    async with listener.listening():
        await send(ledger, receiver)
        while len(listener.messages) < 8:
            await asyncio.sleep(0.01)
    assert listener.ids() == sent


async def test_a_receiver_whose_certificate_is_not_trusted_gets_nothing(
    listener: Listener, syslog: Callable[[], SyslogReceiver], tmp_path: Path
) -> None:
    ledger = MemoryLedger()
    await fill(ledger, 0, 1)
    (tmp_path / "other").mkdir()
    stranger = Listener(tmp_path / "other")
    async with listener.listening():
        context = tls(stranger.ca, listener.certificate, listener.key)
        with pytest.raises(ReceiverError):
            await send(ledger, SyslogReceiver("127.0.0.1", listener.port, context, seconds=10))
    assert listener.messages == []
    assert "syslog" not in ledger.cursors


async def test_forwarding_goes_on_by_itself_and_stops_when_it_is_told_to(
    listener: Listener, syslog: Callable[[], SyslogReceiver]
) -> None:
    ledger, stopping = MemoryLedger(), asyncio.Event()
    sent = await fill(ledger, 0, 9)
    async with listener.listening():
        going = asyncio.create_task(
            keep_forwarding(
                stopping, ledger=ledger, cursors=ledger, patients=Archive(), receiver=syslog(), at_once=4,
                log=Log("test"),
            )
        )  # fmt: skip
        while len(listener.messages) < 9:
            await asyncio.sleep(0.01)
        stopping.set()
        await going
    assert listener.ids() == sent


class Repository:
    """An audit record repository that takes batches (ITI-20)."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.answers: list[httpx.Response] = []

    async def take(self, request: httpx.Request) -> httpx.Response:
        if self.answers:
            return self.answers.pop()
        bundle = json.loads(request.content)
        assert (bundle["type"], request.headers["content-type"]) == ("batch", "application/fhir+json")
        self.taken += [entry["resource"]["id"] for entry in bundle["entry"]]
        assert all(entry["request"] == {"method": "POST", "url": "AuditEvent"} for entry in bundle["entry"])
        answered = [{"response": {"status": "201 Created"}} for _ in bundle["entry"]]
        return httpx.Response(200, json={"resourceType": "Bundle", "type": "batch-response", "entry": answered})


async def test_a_repository_gets_batches_and_the_cursor_moves_when_it_has_taken_every_entry() -> None:
    ledger, repository = MemoryLedger(), Repository()
    sent = await fill(ledger, 0, 6)
    async with httpx.AsyncClient(transport=httpx.MockTransport(repository.take)) as client:
        receiver = FhirReceiver(client, "http://repository/fhir")
        taken, refused = {"response": {"status": "201"}}, {"response": {"status": "422"}}
        for refusal in (
            httpx.Response(503),
            httpx.Response(200, text="no JSON"),
            httpx.Response(200, json={"entry": [taken] * 3}),
            httpx.Response(200, json={"entry": [taken, taken, taken, refused]}),
        ):
            repository.answers.append(refusal)
            with pytest.raises(ReceiverError):
                await send(ledger, receiver)
            assert "fhir" not in ledger.cursors
        assert [await send(ledger, receiver) for _ in range(3)] == [4, 2, 0]
    assert repository.taken == sent
    assert ledger.cursors["fhir"] == 6
