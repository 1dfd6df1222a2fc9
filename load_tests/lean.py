"""A client that costs next to nothing: requests made beforehand, blocking sockets, a thread a connection.

On a small machine the client takes its time from the server that it measures, so it must be lean, and the same for all.
"""

from __future__ import annotations

import socket
import statistics
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_BUFFER_BYTES = 1 << 20
_PATIENCE_SECONDS = 300.0


class BadAnswer(Exception):
    """A server did not do what it was asked: its figures would be worth nothing."""


@dataclass(frozen=True, slots=True)
class Request:
    """A request as its bytes, and what its answer must be."""

    data: bytes
    status: tuple[int, ...] = (200,)
    at_least_bytes: int = 1


@dataclass(frozen=True, slots=True)
class Timing:
    """What a run took.

    Attributes:
        seconds: wall time from the first request to the last answer.
        each: seconds of each request.
        received: bytes of bodies.
    """

    seconds: float
    each: tuple[float, ...] = field(repr=False)
    received: int

    @property
    def per_second(self) -> float:
        """Requests a second."""
        return len(self.each) / self.seconds

    def quantile(self, share: float) -> float:
        """Seconds within which this share of the requests was answered."""
        ordered = sorted(self.each)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]

    @property
    def median(self) -> float:
        """Seconds of the request in the middle."""
        return statistics.median(self.each)


def get(url: str, accept: str = "*/*", **more: object) -> Request:
    """A GET for an address; `more` are fields of `Request`."""
    return Request(_head("GET", url, {"Accept": accept}), **more)  # type: ignore[arg-type]  # the fields' own types


def post(url: str, content_type: str, body: bytes, **more: object) -> Request:
    """A POST to an address; `more` are fields of `Request`."""
    headers = {"Accept": "application/dicom+json", "Content-Type": content_type, "Content-Length": str(len(body))}
    return Request(_head("POST", url, headers) + body, **more)  # type: ignore[arg-type]  # the fields' own types


def _head(method: str, url: str, headers: Mapping[str, str]) -> bytes:
    parts = urlsplit(url)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    lines = [f"{method} {target} HTTP/1.1", f"Host: {parts.netloc}", *(f"{k}: {v}" for k, v in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def drive(url: str, requests: Sequence[Request], connections: int = 1) -> Timing:
    """Send all requests over so many connections that stay open, each taking the next one.

    Raises:
        BadAnswer: an answer was not what the request wants.
    """
    parts = urlsplit(url)
    address = (parts.hostname or "127.0.0.1", parts.port or 80)
    todo = iter(range(len(requests)))
    guard = threading.Lock()
    each = [0.0] * len(requests)
    received = [0] * len(requests)
    faults: list[Exception] = []

    def work() -> None:
        try:
            with _Connection(address) as connection:
                while not faults:
                    with guard:
                        number = next(todo, None)
                    if number is None:
                        return
                    began = time.perf_counter()
                    received[number] = connection.ask(requests[number])
                    each[number] = time.perf_counter() - began
        except (OSError, BadAnswer) as error:
            faults.append(error)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(connections)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - began
    if faults:
        raise BadAnswer(str(faults[0])) from faults[0]
    return Timing(seconds, tuple(each), sum(received))


def fetch(url: str, accept: str = "*/*") -> bytes:
    """The body of one answer."""
    parts = urlsplit(url)
    with _Connection((parts.hostname or "127.0.0.1", parts.port or 80), keep=True) as connection:
        connection.ask(get(url, accept, at_least_bytes=0))
        return bytes(connection.body)


class _Connection:
    """HTTP/1.1 over one socket that stays open; bodies are counted, and kept only on demand."""

    def __init__(self, address: tuple[str, int], *, keep: bool = False) -> None:
        self._address = address
        self._buffer = bytearray(_BUFFER_BYTES)
        self._view = memoryview(self._buffer)
        self._keep = keep
        self.body = bytearray()

    def __enter__(self) -> _Connection:
        self._socket = self._opened()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def _opened(self) -> socket.socket:
        opened = socket.create_connection(self._address, timeout=_PATIENCE_SECONDS)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def ask(self, request: Request) -> int:
        """Send a request; gives the number of bytes of the answer's body."""
        self.body.clear()
        self._socket.sendall(request.data)
        status, headers, rest = self._read_head()
        length = headers.get("content-length")
        if status == 204 or length == "0":
            size = 0
        elif length is not None:
            size = self._read_length(int(length), rest)
        elif headers.get("transfer-encoding") == "chunked":
            size = self._read_chunks(rest)
        else:
            size = self._read_to_end(rest)
        if headers.get("connection", "").lower() == "close":
            self._socket.close()
            self._socket = self._opened()
        if status not in request.status or size < request.at_least_bytes:
            target = request.data.split(b" ", 2)[1].decode()
            raise BadAnswer(f"{self._address}: {target} gave {status} with {size} bytes")
        return size

    def _read_head(self) -> tuple[int, dict[str, str], bytes]:
        data = b""
        while (end := data.find(b"\r\n\r\n")) < 0:
            got = self._socket.recv(65536)
            if not got:
                raise BadAnswer(f"{self._address} hung up")
            data += got
        first, *lines = data[:end].decode("latin-1").split("\r\n")
        status = int(first.split(" ", 2)[1])
        if status == 100:
            raise BadAnswer("100 Continue without being asked")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        return status, headers, data[end + 4 :]

    def _took(self, data: bytes | memoryview) -> None:
        if self._keep:
            self.body += data

    def _read_length(self, length: int, rest: bytes) -> int:
        self._took(rest)
        left = length - len(rest)
        while left > 0:
            got = self._socket.recv_into(self._view, min(left, _BUFFER_BYTES))
            if not got:
                raise BadAnswer(f"{self._address} hung up in a body")
            self._took(self._view[:got])
            left -= got
        return length

    def _read_chunks(self, rest: bytes) -> int:
        data, size = rest, 0
        while True:
            while (end := data.find(b"\r\n")) < 0:
                data += self._more()
            length = int(data[:end].split(b";")[0], 16)
            data = data[end + 2 :]
            need = length + 2
            if len(data) < need:
                self._took(data)
                held = need - len(data)
                while held > 0:
                    got = self._socket.recv_into(self._view, min(held, _BUFFER_BYTES))
                    if not got:
                        raise BadAnswer(f"{self._address} hung up in a chunk")
                    self._took(self._view[:got])
                    held -= got
                if self._keep:
                    del self.body[-2:]
                data = b""
            else:
                self._took(data[:length])
                data = data[need:]
            if length == 0:
                return size
            size += length

    def _read_to_end(self, rest: bytes) -> int:
        self._took(rest)
        size = len(rest)
        while got := self._socket.recv_into(self._view):
            self._took(self._view[:got])
            size += got
        self._socket = self._opened()
        return size

    def _more(self) -> bytes:
        got = self._socket.recv(65536)
        if not got:
            raise BadAnswer(f"{self._address} hung up")
        return got
