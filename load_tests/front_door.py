"""The front door beside Orthanc: stores, lists, metadata, frames, rendered images, an ultrasound loop, memory."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydicom.uid import ExplicitVRLittleEndian, HTJ2KLosslessRPCL, JPEG2000Lossless

from load_tests import data, lean, servers, storescu
from load_tests.data import Instance
from load_tests.lean import BadAnswer, Request, Timing
from load_tests.measured import Better, Figure, Report, Target
from load_tests.servers import Server

_JSON = "application/dicom+json"
_FRAMES = "multipart/related; type=application/octet-stream; transfer-syntax=*"
"""As OHIF asks."""
_OHIF_LIST = "studies?limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060%2C00080090%2C00100030"
_STUDIES = 300
_AFTERWARDS_SECONDS = 0.5
"""Until what was recorded of accesses is in the log."""

TARGETS = {
    "STOW, 200 CT, 10 a request, 4 connections": Target(2, "orthanc"),
    "C-STORE, 200 CT, one association": Target(5, "orthanc", 150),
    "C-STORE, 200 CT, four associations": Target(None, "orthanc", 300),
    "QIDO studies, limit=25": Target(10, "orthanc"),
    "QIDO, OHIF's list": Target(10, "orthanc"),
    "QIDO by PatientID": Target(10, "orthanc"),
    "QIDO by name wildcard and dates": Target(10, "orthanc"),
    "metadata of 200, first": Target(10, "orthanc"),
    "metadata of 200": Target(10, "orthanc"),
    "metadata of 600, first": Target(10, "orthanc"),
    "metadata of 600": Target(10, "orthanc"),
    "frames, native": Target(20, "orthanc"),
    "frames, J2K": Target(20, "orthanc"),
    "frames, HTJ2K": Target(20, "orthanc"),
    "frames, native, to files by Caddy": Target(0.5, "caddy"),
    "rendered JPEG": Target(2, "orthanc"),
    "rendered PNG": Target(5, "orthanc"),
    "US loop, 500 frames one by one": Target(20, "orthanc"),
}
DrivenT = TypeVar("DrivenT")
WORKS = ("stow", "cstore", "qido", "metadata", "frames", "rendered", "ultrasound")


@dataclass(frozen=True, slots=True)
class Run:
    """What the works share."""

    orthanc: Server | None
    edge: Server
    direct: Server
    rounds: int
    folder: Path
    report: Report
    say: Callable[[str], None]

    def each(self, *, direct: bool = True) -> Iterator[Server]:
        """Everybody once for each round, in turn."""
        for number in range(self.rounds):
            for server in (self.orthanc, self.edge, self.direct if direct else None):
                if server is not None:
                    self.say(f"round {number + 1} of {self.rounds}: {server.name}")
                    yield server

    @property
    def all(self) -> list[Server]:
        """Everybody who has a store of their own."""
        return [server for server in (self.orthanc, self.edge) if server is not None]


def run(folder: Path, works: Sequence[str], rounds: int, say: Callable[[str], None]) -> Report:
    """Measure these works, in fresh folders under `folder`."""
    report = Report(TARGETS)
    with ExitStack() as open_servers:
        try:
            peer = open_servers.enter_context(servers.orthanc(folder / "orthanc"))
        except servers.Unavailable as why:
            say(f"without Orthanc: {why}")
            peer = None
        edge, direct = open_servers.enter_context(servers.plexus(folder / "plexus"))
        this = Run(peer, edge, direct, rounds, folder, report, say)
        with _memory(this):
            for work in works:
                say(work)
                _DOES[work](this)
    return report


def send(server: Server, instances: Sequence[Instance], a_request: int = 10, connections: int = 4) -> Timing:
    """Store instances by STOW-RS."""
    url = f"{server.store}/studies"
    requests = [lean.post(url, data.RELATED, body) for body in data.stow_bodies(instances, a_request)]
    return lean.drive(url, requests, connections)


def _stow(this: Run) -> None:
    for server in this.each():
        instances = data.ct_series(200)
        timing = send(server, instances)
        work = "STOW, 200 CT, 10 a request, 4 connections"
        this.report.add(Figure(work, server.name, len(instances) / timing.seconds, "instances/s"))


def _cstore(this: Run) -> None:
    for associations, work in ((1, "one association"), (4, "four associations")):
        for server in this.each(direct=False):
            folder = data.write_folder(data.ct_series(200), this.folder / "to-send")
            rate = storescu.send(folder, server.dimse, server.ae_title, associations=associations)
            shutil.rmtree(folder)
            this.report.add(Figure(f"C-STORE, 200 CT, {work}", server.name, rate, "instances/s"))


def _qido(this: Run) -> None:
    studies = list(data.small_studies(_STUDIES))
    for server in this.all:
        send(server, studies, a_request=50, connections=1)
    asked = {
        "QIDO studies, limit=25": "studies?limit=25",
        "QIDO, OHIF's list": _OHIF_LIST,
        "QIDO by PatientID": "studies?PatientID=PID000123",
        "QIDO by name wildcard and dates": "studies?PatientName=*mi*&StudyDate=20210101-20231231&limit=101",
    }
    for work, path in asked.items():
        for server in this.each():
            url = f"{server.dicomweb}/{path}"
            requests = [lean.get(url, _JSON, at_least_bytes=100)] * (50 if server is this.orthanc else 400)
            lean.drive(url, requests[:5])
            timing, worked = _worked(server, partial(lean.drive, url, requests))
            this.report.add(
                Figure(work, server.name, timing.median * 1000, "ms", Better.LESS),
                Figure(f"{work}, processor", server.name, worked * 1000 / len(requests), "ms", Better.LESS),
            )


def _worked(server: Server, drive: Callable[[], DrivenT]) -> tuple[DrivenT, float]:
    """Drive a server; gives also the processor seconds of all its processes, for what it does afterwards as well."""
    before = server.cpu()
    timing = drive()
    time.sleep(_AFTERWARDS_SECONDS)
    return timing, sum(server.cpu().values()) - sum(before.values())


def _metadata(this: Run) -> None:
    for count in (200, 600):
        for server in this.each(direct=False):
            instances = data.ct_series(count)
            send(server, instances)
            url = f"{server.dicomweb}/studies/{instances[0].study}/series/{instances[0].series}/metadata"
            request = lean.get(url, _JSON, at_least_bytes=count * 1000)
            first = lean.drive(url, [request])
            again = lean.drive(url, [request] * (3 if server is this.orthanc else 20))
            name = f"metadata of {count}"
            this.report.add(
                Figure(f"{name}, first", server.name, first.median * 1000, "ms", Better.LESS),
                Figure(name, server.name, again.median * 1000, "ms", Better.LESS),
            )


def _frames(this: Run) -> None:
    syntaxes = {"native": ExplicitVRLittleEndian, "J2K": JPEG2000Lossless, "HTJ2K": HTJ2KLosslessRPCL}
    for name, syntax in syntaxes.items():
        # More than Orthanc's cache of files holds (128 MB): a hospital has more than one series.
        instances = data.ct_series(400, syntax=syntax)
        for server in this.all:
            _sent(this, server, instances)
        for server in this.each():
            timing = _frames_of(this, server, [f"{each.path}/frames/1" for each in instances])
            if timing is not None:
                this.report.add(Figure(f"frames, {name}", server.name, timing.per_second, "frames/s"))
                if name == "native" and server is not this.orthanc:
                    this.report.add(
                        Figure("frames, native, to files by Caddy", server.name, timing.per_second, "frames/s")
                    )
        if name == "native":
            _files(this, [bytes(512 * 512 * 2)] * len(instances))


def _sent(this: Run, server: Server, instances: Sequence[Instance]) -> None:
    try:
        send(server, instances)
    except BadAnswer as why:
        this.say(f"{server.name} does not take them: {why}")


def _frames_of(
    this: Run, server: Server, paths: Sequence[str], at_least: int = 10_000, few: int = 400
) -> Timing | None:
    """Frames over six connections, several times around; of the peer, which may be slow, a `few`."""
    requests = [lean.get(f"{server.dicomweb}/{path}", _FRAMES, at_least_bytes=at_least) for path in paths]
    return _driven(this, server, requests[:few] if server is this.orthanc else requests * 5, warm=True)


def _driven(this: Run, server: Server, requests: Sequence[Request], *, warm: bool = False) -> Timing | None:
    """Over six connections, as a browser has them; nothing when the server does not answer as it should."""
    try:
        if warm:
            lean.drive(server.dicomweb, requests[:12], 6)
        return lean.drive(server.dicomweb, requests, 6)
    except BadAnswer as why:
        this.say(f"{server.name} does not give them: {why}")
        return None


def _files(this: Run, contents: Sequence[bytes]) -> None:
    """The same number of bytes as plain files by Caddy: once a round."""
    folder = this.folder / "files"
    folder.mkdir()
    for number, content in enumerate(contents):
        (folder / f"{number}.raw").write_bytes(content)
    with servers.caddy(this.folder / "caddy", folder) as url:
        requests = [lean.get(f"{url}/{number}.raw") for number in range(len(contents))] * 10
        for _ in range(this.rounds):
            lean.drive(url, requests[:12], 6)
            timing = lean.drive(url, requests, 6)
            this.report.add(Figure("frames, native, to files by Caddy", "caddy", timing.per_second, "frames/s"))


def _rendered(this: Run) -> None:
    instances = data.ct_series(100)
    for server in this.all:
        send(server, instances)
    for name, accept in (("JPEG", "image/jpeg"), ("PNG", "image/png")):
        for number, server in enumerate(this.each()):
            # A window that nobody has asked for: no server can have the images already.
            paths = [f"{each.path}/rendered?window={40 + number},{400 + number},linear" for each in instances]
            requests = [lean.get(f"{server.dicomweb}/{path}", accept) for path in paths]
            for work in (f"rendered {name}", f"rendered {name}, asked again"):
                timing, worked = _worked(server, partial(_driven, this, server, requests))
                if timing is not None:
                    this.report.add(
                        Figure(work, server.name, timing.per_second, "images/s"),
                        Figure(f"{work}, processor", server.name, worked * 1000 / len(requests), "ms", Better.LESS),
                    )


def _ultrasound(this: Run) -> None:
    loop = data.ultrasound_loop()
    for server in this.all:
        send(server, [loop], connections=1)
    for server in this.each():
        timing = _frames_of(this, server, [f"{loop.path}/frames/{number}" for number in range(1, 501)], few=100)
        if timing is not None:
            this.report.add(Figure("US loop, 500 frames one by one", server.name, timing.per_second, "frames/s"))


@contextmanager
def _memory(this: Run) -> Iterator[None]:
    """Watch the memory of every process: at the start, at its highest, at the end."""
    highest: dict[tuple[str, str], float] = {}
    over = threading.Event()

    def watch() -> None:
        while not over.wait(1.0):
            for server in this.all:
                for name, size in server.memory().items():
                    key = (server.name, name)
                    highest[key] = max(highest.get(key, 0.0), size)

    first = {(s.name, name): size for s in this.all for name, size in s.memory().items()}
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()
    time.sleep(2)
    for server in this.all:
        for name, size in server.memory().items():
            key = (server.name, name)
            for when, value in (("start", first.get(key, 0.0)), ("highest", highest.get(key, size)), ("end", size)):
                this.report.add(Figure(f"memory of {name}, {when}", server.name, value, "MB", Better.LESS))


_DOES: dict[str, Callable[[Run], None]] = {
    "stow": _stow,
    "cstore": _cstore,
    "qido": _qido,
    "metadata": _metadata,
    "frames": _frames,
    "rendered": _rendered,
    "ultrasound": _ultrasound,
}
