"""Where canaries are looked for: all that the compute zone holds or hears, and all that is written for operators."""

from __future__ import annotations

import gzip
import io
import json
import os
import tempfile
import threading
import zipfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx
import nats
from nats.js.api import ConsumerConfig, DeliverPolicy

from services.contracts import subjects
from services.launcher import registry, secrets
from services.launcher.mesh import Mesh

Found = Iterator[tuple[str, bytes]]
_SHARED_MEMORY: Final = Path("/dev/shm")  # noqa: S108  # where Linux keeps it
_LOOK_SECONDS: Final = 0.01
_LARGEST_FILE: Final = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Place:
    """One of them: `read` gives what is there, as names and bytes."""

    name: str
    read: Callable[[], Found]


def files(*folders: Path, since: float = 0.0) -> Found:
    """All files under some folders that changed since a moment, by name and by content; archives are looked into."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            with suppress(OSError):
                if path.is_symlink() or path.stat().st_mtime < since:
                    continue
                yield f"the name of {path}", str(path.relative_to(folder)).encode()
                if path.is_file() and path.stat().st_size <= _LARGEST_FILE:
                    yield from _content(str(path), path.read_bytes())


def _content(name: str, data: bytes) -> Found:
    yield name, data
    if data[:4] == b"PK\x03\x04":
        with suppress(zipfile.BadZipFile), zipfile.ZipFile(io.BytesIO(data)) as archive:
            for member in archive.namelist():
                yield f"{name}:{member}", archive.read(member)
    elif data[:2] == b"\x1f\x8b":
        with suppress(OSError, EOFError):
            yield f"{name}, unpacked", gzip.decompress(data)


def metrics(mesh: Mesh) -> Found:
    """What each service tells of itself to a monitor."""
    for part in registry.services():
        for path in ("/metrics", "/readyz", "/healthz"):
            with suppress(httpx.HTTPError):
                yield f"{path} of {part.name}", httpx.get(f"{mesh.url(part.name)}{path}", timeout=10).content
    with suppress(httpx.HTTPError):
        yield "metrics of triton", httpx.get(f"{mesh.url('triton_metrics')}/metrics", timeout=10).content


def dumps(mesh: Mesh, since: float) -> Found:
    """Core dumps: where the kernel puts them, and where processes run."""
    pattern = Path("/proc/sys/kernel/core_pattern").read_text().strip()
    folders = {Path(pattern).parent} if pattern.startswith("/") else set()
    for folder in (*folders, Path.cwd(), mesh.settings.data, Path("/var/crash"), Path("/var/lib/systemd/coredump")):
        if folder.is_dir():
            for path in folder.glob("core*"):
                if path.is_file() and path.stat().st_mtime >= since:
                    yield str(path), path.read_bytes()


def temporary(since: float, but: Path) -> Found:
    """Files of the temporary folders that changed since, other than those under `but`, and the mesh's own folders."""
    for folder in {Path(tempfile.gettempdir()), Path("/var/tmp")}:  # noqa: S108  # to be looked at
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path == but or path in but.parents or path.name.startswith(("plexus-", "pytest-")):
                continue
            with suppress(OSError):
                if path.is_file() and path.stat().st_mtime >= since and path.stat().st_size <= _LARGEST_FILE:
                    yield f"the name of {path}", path.name.encode()
                    yield from _content(str(path), path.read_bytes())


def compute_streams(mesh: Mesh) -> list[tuple[str, bytes]]:
    """Every message of the streams that the compute zone reads, with its headers."""
    import asyncio

    async def read() -> list[tuple[str, bytes]]:
        return [each async for each in _messages(mesh, (subjects.COMPUTE.name, subjects.DEAD_LETTERS.name))]

    return asyncio.run(read())


async def _messages(mesh: Mesh, streams: Iterable[str]) -> AsyncIterator[tuple[str, bytes]]:
    password = secrets.passwords(mesh.settings.secrets)["nats_operator"]
    client = await nats.connect(f"nats://operator:{password}@{mesh.address('nats')}", inbox_prefix=b"_INBOX_operator")
    try:
        for stream in streams:
            left = (await client.jetstream().stream_info(stream)).state.messages
            pull = await client.jetstream().pull_subscribe(
                "", stream=stream, config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
            )
            while left > 0:
                for message in await pull.fetch(min(100, left), timeout=10):
                    left -= 1
                    headers = json.dumps(dict(message.headers or {})).encode()
                    yield f"{message.subject} in {stream}", message.subject.encode() + message.data + headers
            await pull.unsubscribe()
    finally:
        await client.close()


class ModelInputs:
    """Copies of what is handed to Triton: shared memory, caught while it is there."""

    def __init__(self, folder: Path) -> None:
        """`folder`: where the copies go."""
        self._folder = folder
        self._seen: dict[tuple[str, int], int] = {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Copies every region that comes while the body runs."""
        self._folder.mkdir(parents=True, exist_ok=True)
        before = {entry.name for entry in os.scandir(_SHARED_MEMORY)} if _SHARED_MEMORY.is_dir() else set()
        stop = threading.Event()
        watching = threading.Thread(target=self._watch, args=(before, stop), daemon=True)
        watching.start()
        try:
            yield
        finally:
            stop.set()
            watching.join()

    def read(self) -> Found:
        """The copies."""
        yield from files(self._folder)

    def _watch(self, before: set[str], stop: threading.Event) -> None:
        while not stop.wait(_LOOK_SECONDS):
            if not _SHARED_MEMORY.is_dir():
                continue
            for entry in os.scandir(_SHARED_MEMORY):
                if entry.name in before or not entry.name.startswith("plexus"):
                    continue
                with suppress(OSError):
                    self._copy(entry)

    def _copy(self, entry: os.DirEntry[str]) -> None:
        """Once when it comes, and once more when it has been filled."""
        looks = self._seen.get((entry.name, entry.inode()), 0)
        if looks >= 2 or entry.stat().st_size > _LARGEST_FILE:
            return
        data = Path(entry.path).read_bytes()
        if not any(data[: 1 << 20]) and looks == 0:
            return
        self._seen[entry.name, entry.inode()] = looks + 1
        (self._folder / f"{entry.name}-{looks}").write_bytes(data)
