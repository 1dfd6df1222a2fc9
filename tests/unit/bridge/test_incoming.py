"""Messages out of P-DATA, however a peer cuts them up."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.bridge.adapters.incoming import Incoming, InterruptedMessage, Transfer
from services.bridge.commands import COMMAND, LAST, StoreRequest
from services.bridge.errors import AbandonedError, MalformedError
from services.bridge.model import Announced

HEADER = b"DICM-header"
CHUNK = 64
Fragment = tuple[int, int, bytes]
"""Presentation context, message control header, content."""


def command(field: int, *, data_set: bool) -> bytes:
    """A command set of a few elements."""
    values = {
        0x0002: b"1.2.840.10008.5.1.4.1.1.2\0",
        0x0100: struct.pack("<H", field),
        0x0110: b"\7\0",
        0x0800: b"\0\0" if data_set else b"\1\1",
        0x1000: b"1.2.3\0",
    }
    return b"".join(struct.pack("<HHI", 0, number, len(value)) + value for number, value in values.items())


STORE, FIND, ECHO = command(0x0001, data_set=True), command(0x0020, data_set=True), command(0x0030, data_set=False)


def pdu(*fragments: Fragment, kind: int = 4) -> bytes:
    """A P-DATA-TF PDU."""
    body = b"".join(struct.pack(">IBB", len(data) + 2, context, control) + data for context, control, data in fragments)
    return struct.pack(">BxI", kind, len(body)) + body


class Bytes:
    """A `Source` of bytes that are there."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def done(self) -> bool:
        """Whether all was read."""
        return self._at == len(self._data)

    def read(self, size: int) -> bytes:
        """The next bytes."""
        self._at += size
        if self._at > len(self._data):
            raise AbandonedError
        return self._data[self._at - size : self._at]

    def fill(self, into: memoryview) -> None:
        """The next bytes."""
        into[:] = self.read(len(into))


class Heard:
    """Remembers what comes out."""

    def __init__(self, data: bytes, *, reads: bool = True) -> None:
        self.source = Bytes(data)
        self.stored: list[list[bytes]] = []
        self.others: list[Fragment] = []
        self._reads = reads
        self.incoming = Incoming(
            self.source, store=self._store, other=self._other, chunk_bytes=CHUNK, longest_pdu=100_000
        )

    def all(self) -> Heard:
        """Receive PDUs to the end."""
        while not self.source.done:
            kind, length = self.incoming.header()
            assert kind == 4
            self.incoming.take(length)
        return self

    def _store(self, context_id: int, request: StoreRequest) -> None:
        assert request.message_id == 7
        transfer = Transfer(Announced("1.2", "1.2.3", "1.2.840.10008.1.2.1"), self.incoming.chunks(context_id, HEADER))
        self.stored.append([])
        if self._reads:
            with suppress(AbandonedError):
                self.stored[-1].extend(transfer.file())
        transfer.finish()

    def _other(self, context_id: int, control: int, data: bytes) -> None:
        self.others.append((context_id, control, data))


def cut(data: bytes, sizes: Sequence[int], kind: int, context: int = 1) -> Iterator[Fragment]:
    """Fragments of these sizes, over and over; the last one is marked."""
    at, number = 0, 0
    while True:
        size = sizes[number % len(sizes)]
        last = at + size >= len(data)
        yield context, kind | (LAST if last else 0), data[at : at + size]
        if last:
            return
        at, number = at + size, number + 1


@given(
    data_set=st.binary(max_size=400),
    command_sizes=st.lists(st.integers(1, 120), min_size=1, max_size=4),
    data_sizes=st.lists(st.integers(1, 150), min_size=1, max_size=4),
    in_a_pdu=st.integers(1, 5),
)
def test_an_instance_arrives_whole_however_it_is_cut_up(
    data_set: bytes, command_sizes: list[int], data_sizes: list[int], in_a_pdu: int
) -> None:
    fragments = [*cut(STORE, command_sizes, COMMAND), *cut(data_set, data_sizes, 0)] * 2
    sent = b"".join(pdu(*fragments[at : at + in_a_pdu]) for at in range(0, len(fragments), in_a_pdu))
    stored = Heard(sent).all().stored
    assert [b"".join(chunks) for chunks in stored] == [HEADER + data_set] * 2
    assert all(len(chunk) == CHUNK for chunks in stored for chunk in chunks[:-1])
    assert Heard(sent, reads=False).all().stored == [[], []]


@given(st.binary(max_size=300), st.lists(st.integers(1, 150), min_size=1, max_size=4))
def test_other_messages_are_handed_over_fragment_by_fragment(data_set: bytes, sizes: list[int]) -> None:
    fragments = [*cut(FIND, sizes, COMMAND), *cut(data_set, sizes, 0), *cut(ECHO, sizes, COMMAND)]
    heard = Heard(b"".join(map(pdu, fragments))).all()
    first, *between, last = heard.others
    assert (first, last) == ((1, COMMAND | LAST, FIND), (1, COMMAND | LAST, ECHO))
    assert b"".join(data for _, _, data in between) == data_set
    assert [control for _, control, _ in between] == [0] * (len(between) - 1) + [LAST]


@given(st.lists(st.binary(min_size=1, max_size=80), min_size=1, max_size=6))
def test_whatever_comes_is_received_or_refused(parts: list[bytes]) -> None:
    data = b"".join(parts)
    heard = Heard(data)
    with suppress(MalformedError, AbandonedError, InterruptedMessage):
        heard.incoming.take(len(data))


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 3), st.one_of(st.sampled_from([STORE, FIND]), st.binary())),
        min_size=1,
        max_size=8,
    )
)
def test_fragments_in_any_order_are_received_or_refused(fragments: list[Fragment]) -> None:
    with suppress(MalformedError, AbandonedError, InterruptedMessage):
        Heard(b"".join(map(pdu, fragments))).all()


COMPLETE = (1, COMMAND | LAST, STORE)


NOT_ALLOWED = {
    "a data set without a command": pdu((1, LAST, b"data")),
    "a command in two contexts": pdu((1, COMMAND, STORE[:10]), (3, COMMAND | LAST, STORE[10:])),
    "a data set in another context": pdu(COMPLETE, (3, LAST, b"data")),
    "a command in the middle of a data set": pdu(COMPLETE, (1, 0, b"data"), (1, COMMAND | LAST, STORE)),
    "a data set in the middle of a command": pdu((1, COMMAND, STORE[:10]), (1, LAST, b"data")),
    "no fragment": pdu(),
    "no fragment, later": pdu(COMPLETE) + pdu(),
    "4 GB": pdu()[:2] + struct.pack(">I", 0xFFFFFFFF) + bytes(100),
    "4 GB, later": pdu(COMPLETE) + pdu()[:2] + struct.pack(">I", 0xFFFFFFFF) + bytes(100),
    "no such PDU": pdu(COMPLETE) + b"\x09" + pdu(COMPLETE)[1:],
    "a fragment longer than its PDU": struct.pack(">BxIIBB", 4, 8, 100, 1, 3) + b"12",
    "a fragment shorter than its header": struct.pack(">BxIIBB", 4, 6, 1, 1, 3),
    "a PDU shorter than a header": struct.pack(">BxI", 4, 3) + b"123",
    "an empty command": pdu((1, COMMAND | LAST, b"")),
    "an endless command": pdu((1, COMMAND, bytes(60_000))) + pdu((1, COMMAND | LAST, bytes(60_000))),
}


@pytest.mark.parametrize("what", NOT_ALLOWED)
def test_what_the_standard_does_not_allow_is_refused(what: str) -> None:
    with pytest.raises(MalformedError):
        Heard(NOT_ALLOWED[what]).all()


@pytest.mark.parametrize("reads", [True, False])
def test_an_abort_in_the_middle_of_an_instance_is_no_end_of_it(reads: bool) -> None:
    heard = Heard(pdu(COMPLETE, (1, 0, bytes(200))) + pdu(kind=7), reads=reads)
    with pytest.raises(InterruptedMessage) as interrupted:
        heard.all()
    assert (interrupted.value.kind, interrupted.value.length) == (7, 0)


def test_an_identifier_has_a_longest_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.bridge.adapters.incoming._LONGEST_IDENTIFIER", 10)
    with pytest.raises(MalformedError):
        Heard(pdu((1, COMMAND | LAST, FIND), (1, 0, b"12345678"), (1, LAST, b"90!"))).all()
