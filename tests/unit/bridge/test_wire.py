"""The connection of an association."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from services.bridge.adapters.wire import Wire
from services.bridge.errors import AbandonedError


@pytest.fixture
def pair() -> Iterator[tuple[Wire, socket.socket]]:
    """Our end and the peer's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
    wire = Wire(ours, piece_seconds=0.2)
    yield wire, theirs
    wire.close()
    theirs.close()


def test_a_piece_is_read_whole_however_it_comes(pair: tuple[Wire, socket.socket]) -> None:
    wire, theirs = pair
    theirs.sendall(b"123")
    later = threading.Timer(0.05, theirs.sendall, [b"456"])
    later.start()
    assert wire.read(6) == b"123456"
    later.join()


def test_a_peer_that_leaves_in_the_middle_has_gone(pair: tuple[Wire, socket.socket]) -> None:
    wire, theirs = pair
    theirs.sendall(b"123")
    theirs.close()
    with pytest.raises(AbandonedError):
        wire.read(6)


def test_a_peer_that_sends_a_byte_now_and_then_is_too_slow(pair: tuple[Wire, socket.socket]) -> None:
    wire, theirs = pair
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.05):
            theirs.sendall(b"1")

    dripping = threading.Thread(target=drip)
    dripping.start()
    with pytest.raises(AbandonedError):
        wire.read(1_000)
    over.set()
    dripping.join()


def test_a_peer_that_does_not_read_is_too_slow(pair: tuple[Wire, socket.socket]) -> None:
    wire, _ = pair
    with pytest.raises(AbandonedError):
        wire.send(bytes(50_000_000))


def test_a_wait_ends_by_what_comes_and_by_a_wake(pair: tuple[Wire, socket.socket]) -> None:
    wire, theirs = pair
    wire.wake()
    assert not wire.wait(10)
    assert not wire.wait(0)
    theirs.sendall(b"1")
    assert wire.wait(10)
    assert wire.discard()
    theirs.close()
    assert wire.wait(10)
    assert not wire.discard()


def test_many_wakes_are_one(pair: tuple[Wire, socket.socket]) -> None:
    wire, _ = pair
    for _ in range(100_000):
        wire.wake()
    while wire.wait(0):
        pass
    wire.close()
    wire.wake()
