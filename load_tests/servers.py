"""Those who are measured: Plexus, Orthanc of Debian, and Caddy with plain files. On loopback, in fresh folders."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import psutil

from services.launcher import registry
from services.launcher.mesh import Mesh
from services.launcher.parts.program import base_environment
from services.launcher.settings import Settings

_PATIENCE_SECONDS: Final = 60.0
PARTS: Final = ("postgres", "nats", "redis", "edge", "bridge", "ingest", "archive", "audit")
"""The front door and the log of accesses. The others would run models on what is sent, which no peer does."""


class Unavailable(Exception):
    """A server cannot be measured here; says what is missing."""


@dataclass(frozen=True, slots=True)
class Server:
    """Someone who can be asked.

    Attributes:
        dicomweb: address of its DICOMweb service.
        store: where STOW-RS goes; the same, unless a service is asked without the edge.
        dimse: port for C-STORE.
        ae_title: its own.
        processes: by name, those whose memory counts.
    """

    name: str
    dicomweb: str
    store: str
    dimse: int
    ae_title: str
    processes: dict[str, int]

    def memory(self) -> dict[str, float]:
        """Memory of each process and its children in MB: the unique set, so that shared pages do not count twice."""
        return {name: _memory(pid) / 1e6 for name, pid in self.processes.items()}

    def cpu(self) -> dict[str, float]:
        """Processor seconds of each process and its children so far."""
        return {name: _cpu(pid) for name, pid in self.processes.items()}


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _memory(pid: int) -> int:
    total = 0
    for process in _family(pid):
        try:
            total += process.memory_full_info().uss
        except psutil.Error:
            continue
    return total


def _cpu(pid: int) -> float:
    total = 0.0
    for process in _family(pid):
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system
    return total


@contextmanager
def plexus(folder: Path, **overrides: str) -> Iterator[tuple[Server, Server]]:
    """The mesh's front door: asked through the edge, as users do, and without it."""
    settings = Settings.on_free_ports(folder, parts=PARTS, **overrides)
    with Mesh(settings) as mesh:
        pids = {name: pid for name in PARTS if name in registry.BY_NAME and (pid := mesh.pid(name))}
        del pids["redis"]
        edge = f"{settings.url('edge')}/dicom-web"
        dimse = settings.ports["dimse"]
        yield (
            Server("plexus", edge, edge, dimse, "PLEXUS", pids),
            Server(
                "plexus, no edge",
                f"{settings.url('archive')}/dicom-web",
                f"{settings.url('ingest')}/dicom-web",
                dimse,
                "PLEXUS",
                pids,
            ),
        )


@contextmanager
def orthanc(folder: Path) -> Iterator[Server]:
    """Orthanc as Debian ships it, durable (`SyncStorageArea` is its default), with its DICOMweb plugin.

    Raises:
        Unavailable: it is not installed.
    """
    program = shutil.which("Orthanc") or "/usr/sbin/Orthanc"
    plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    if not Path(program).exists() or not plugin.exists():
        raise Unavailable("Orthanc is not here: apt-get install orthanc orthanc-dicomweb")
    http, dimse = free_port(), free_port()
    folder.mkdir(parents=True)
    configuration = {
        "Name": "peer",
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "storage"),
        "HttpPort": http,
        "DicomPort": dimse,
        "DicomAet": "ORTHANC",
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomCheckCalledAet": False,
        "DicomAlwaysAllowStore": True,
        "HttpCompressionEnabled": False,
        "KeepAlive": True,
        "SyncStorageArea": True,
        "OverwriteInstances": False,
        "Plugins": [str(plugin)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False},
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    process = _started([program, str(folder / "orthanc.json")], folder)
    try:
        url = f"http://127.0.0.1:{http}/dicom-web"
        _wait_for(f"{url}/studies?limit=1", process)
        yield Server("orthanc", url, url, dimse, "ORTHANC", {"orthanc": process.pid})
    finally:
        _stopped(process)


@contextmanager
def caddy(folder: Path, files: Path) -> Iterator[str]:
    """Caddy with a folder of files: what the machine can do at best. Gives its address."""
    port = free_port()
    folder.mkdir(parents=True)
    (folder / "Caddyfile").write_text(
        "{\n\tadmin off\n\tpersist_config off\n\tauto_https off\n\tlog {\n\t\tlevel WARN\n\t}\n}\n"
        f"http://127.0.0.1:{port} {{\n\tbind 127.0.0.1\n\troot * {files}\n\tfile_server\n}}\n"
    )
    program = Path(sys.executable).with_name("caddy")
    process = _started([str(program), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"], folder)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, process)
        yield url
    finally:
        _stopped(process)


def free_port() -> int:
    """A port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _started(command: list[str], folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=base_environment(), start_new_session=True
        )


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            httpx.get(url, timeout=5)
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    raise Unavailable(f"{process.args!r} did not start")


def _stopped(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
