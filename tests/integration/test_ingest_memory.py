"""What ingest weighs while much comes in: a request is never in memory, nor an instance that is large."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import grpc.aio

from services.dicom import multipart, uids
from services.dicom.part10 import file_header
from tests.integration.ingest_process import Process, process  # noqa: F401  # a fixture
from tests.unit.ingest.made import made

_MEGABYTE = 1 << 20
_LARGE = int(os.environ.get("PLEXUS_TEST_LARGE_MEGABYTES", "160"))
"""Size of the large instance; 5120 is the figure in the documentation."""
_JPEG = "1.2.840.10008.1.2.4.50"
_CT = "1.2.840.10008.5.1.4.1.1.2"


def element(tag: tuple[int, int], vr: str, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    return (
        b"".join(number.to_bytes(2, "little") for number in tag)
        + vr.encode()
        + len(value).to_bytes(2, "little")
        + value
    )


def large() -> Iterator[bytes]:
    """An instance of `_LARGE` frames of a megabyte each, piece by piece."""
    uid = uids.new_uid()
    yield file_header(transfer_syntax_uid=_JPEG, sop_class_uid=_CT, sop_instance_uid=uid)
    yield element((0x0008, 0x0016), "UI", _CT.encode()) + element((0x0008, 0x0018), "UI", uid.encode())
    yield element((0x0020, 0x000D), "UI", uids.new_uid().encode()) + element(
        (0x0020, 0x000E), "UI", uids.new_uid().encode()
    )
    yield element((0x0028, 0x0008), "IS", str(_LARGE).encode())
    yield b"\xe0\x7f\x10\x00OB\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\0\0\0\0"
    frame = os.urandom(_MEGABYTE)
    for _ in range(_LARGE):
        yield b"\xfe\xff\x00\xe0" + _MEGABYTE.to_bytes(4, "little") + frame
    yield b"\xfe\xff\xdd\xe0\0\0\0\0"


def files() -> Iterator[bytes]:
    """A large instance, and many small ones, as one body."""
    yield multipart.part_head("b", "application/dicom")
    yield from large()
    yield multipart.PART_TAIL
    for _ in range(100):
        yield multipart.part_head("b", "application/dicom") + made(256) + multipart.PART_TAIL
    yield multipart.closing("b")


def apart() -> Iterator[bytes]:
    """The metadata of a large instance, and its pixels."""
    metadata = {
        "00080016": {"vr": "UI", "Value": [_CT]},
        "00080018": {"vr": "UI", "Value": [uids.new_uid()]},
        "0020000D": {"vr": "UI", "Value": [uids.new_uid()]},
        "0020000E": {"vr": "UI", "Value": [uids.new_uid()]},
        "7FE00010": {"vr": "OW", "BulkDataURI": "pixels"},
    }
    yield multipart.part_head("b", "application/dicom+json") + json.dumps([metadata]).encode() + multipart.PART_TAIL
    yield multipart.part_head("b", "application/octet-stream", content_location="pixels")
    pixels = bytes(_MEGABYTE)
    for _ in range(min(_LARGE, 2048)):
        yield pixels
    yield multipart.PART_TAIL + multipart.closing("b")


class Scales:
    """The most memory that a process has had of its own (pages of files are the system's, and taken back at need)."""

    def __init__(self, pid: int) -> None:
        self._status = Path(f"/proc/{pid}/status")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.most = 0

    def __enter__(self) -> Scales:
        self.most = self.now()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def now(self) -> int:
        lines = self._status.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))

    def _watch(self) -> None:
        while not self._stopping.wait(0.02):
            self.most = max(self.most, self.now())


def post(address: str, kind: str, body: Iterator[bytes]) -> int:
    connection = HTTPConnection(address, timeout=600)
    connection.request(
        "POST", "/dicom-web/studies", body, {"Content-Type": f'multipart/related; type="{kind}"; boundary=b'}
    )
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status


async def test_memory_stays_flat_however_much_comes_in(process: Process) -> None:  # noqa: F811
    async with grpc.aio.insecure_channel(process.address) as channel:
        await asyncio.wait_for(channel.channel_ready(), 60)
    while True:  # the HTTP side opens a little later
        try:
            assert post(process.http, "application/dicom", iter([multipart.closing("b")])) == 400
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
    for kind, body in (("application/dicom", files), ("application/dicom+json", apart)):
        with Scales(process.pid) as scales:
            before = scales.now()
            status = await asyncio.to_thread(post, process.http, kind, body())
        assert status == 200
        assert scales.most - before < 64 * _MEGABYTE
