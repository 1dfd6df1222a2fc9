"""Environments of packages, built by uv: wheels only, each proved by its hash, one folder for each lock file.

Building runs no code of what it installs. A folder is there whole or not at all, and is never changed afterwards;
Triton's machine reads it, and never builds.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

from services.catalogue.environments import EnvironmentState, Lock, Progress, lock_of
from services.catalogue.errors import EnvironmentBrokenError, PackageRefusedError

SITE = "site"
"""The folder of an environment from which Python imports."""

_VERSION = re.compile(r"3\.\d+")
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_LINE_MAX = 1 << 20
_FLOOR = "manylinux_2_28"
"""For which glibc wheels are taken where the machine that will use them is another one."""


@dataclass(slots=True)
class _Building:
    folder: Path
    began: float = field(default_factory=perf_counter)
    words: list[str] = field(default_factory=list)


class UvEnvironments:
    """A `services.catalogue.ports.Environments`.

    Args:
        folder: where they lie.
        python: Triton's Python: an interpreter, or its version where it is on another machine.
        wheels: a folder of wheels to take all from; None: an index.
        index: the index's address; empty: uv's own setting.
        seconds: that building may take.
    """

    def __init__(self, folder: Path, *, python: str, wheels: Path | None, index: str, seconds: float) -> None:
        self._folder = folder
        self._python = python
        self._wheels = wheels
        self._index = index
        self._seconds = seconds
        self._version = python if _VERSION.fullmatch(python) else ""
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._building: dict[str, _Building] = {}
        folder.mkdir(parents=True, exist_ok=True)

    async def ready(self, package: Path) -> Path | None:
        """The environment of a package; see the port."""
        lock = await asyncio.to_thread(lock_of, package)
        if lock is None:
            return None
        name = await self._name(lock)
        place = self._folder / name
        async with self._locks[name]:  # one builder for each; others wait for what it makes
            if not await asyncio.to_thread(place.is_dir):
                await self._build(lock, place)
        return place / SITE

    async def progress(self, package: Path) -> Progress:
        """How far it is; see the port."""
        lock = await asyncio.to_thread(lock_of, package)
        if lock is None:
            return Progress(EnvironmentState.NONE)
        name, packages = await self._name(lock), len(lock.names)
        building = self._building.get(name)
        if building is not None:
            words = building.words[-1] if building.words else ""
            return Progress(EnvironmentState.BUILDING, name, packages, round(perf_counter() - building.began, 1), words)
        is_there = await asyncio.to_thread((self._folder / name).is_dir)
        return Progress(EnvironmentState.READY if is_there else EnvironmentState.MISSING, name, packages)

    async def keep_only(self, packages: Iterable[Path]) -> Sequence[str]:
        """Remove what none of these packages uses; see the port."""
        used = set()
        for package in packages:
            try:
                lock = await asyncio.to_thread(lock_of, package)
                if lock is not None:
                    used.add(await self._name(lock))
            except PackageRefusedError:  # nothing was built of it
                continue
            except EnvironmentBrokenError:  # Triton's Python does not answer: what is used cannot be told
                return []
        used |= {*self._building, *(building.folder.name for building in self._building.values())}
        gone = [path for path in await asyncio.to_thread(_folders, self._folder) if path.name not in used]
        for path in gone:
            await asyncio.to_thread(shutil.rmtree, path, ignore_errors=True)
        return [path.name for path in gone if not path.name.startswith(".")]

    async def _name(self, lock: Lock) -> str:
        if not self._version:
            ask = "import sys; print('%d.%d' % sys.version_info[:2])"
            code, words = await self._run([self._python, "-I", "-S", "-c", ask], [])
            if code != 0 or not _VERSION.fullmatch(words[-1] if words else ""):
                raise EnvironmentBrokenError(f"{self._python} is no Python that answers")
            self._version = words[-1]
        return lock.environment(self._version, f"{sys.platform}-{platform.machine()}")

    async def _build(self, lock: Lock, place: Path) -> None:
        with tempfile.TemporaryDirectory(prefix=".coming-", dir=self._folder, ignore_cleanup_errors=True) as name:
            folder = Path(name)
            building = self._building[place.name] = _Building(folder)
            try:
                requirements = folder / "requirements.lock"
                requirements.write_text(lock.text, encoding="utf-8")
                made = folder / "made"
                code, words = await self._run(self._install(requirements, made / SITE), building.words)
                if code != 0:
                    raise EnvironmentBrokenError(_reason(words))
                await asyncio.to_thread(_finish, made, place, lock)
            finally:
                del self._building[place.name]

    def _install(self, requirements: Path, target: Path) -> list[str]:
        is_here = self._python != self._version
        sources: list[str] = []
        if self._wheels is not None:
            sources = ["--no-index", "--find-links", str(self._wheels)]
        return [
            *(_uv(), "pip", "install", "--require-hashes", "--only-binary", ":all:", "--no-cache"),
            *("--link-mode", "copy", "--target", str(target), "--requirement", str(requirements), *sources),
            # Compiled once, or each request would compile what it imports.
            *(("--python", self._python, "--compile-bytecode") if is_here else self._elsewhere()),
        ]

    def _elsewhere(self) -> tuple[str, ...]:
        machine = f"{platform.machine()}-{_FLOOR}"
        return "--python", sys.executable, "--python-version", self._version, "--python-platform", machine

    async def _run(self, command: Sequence[str], words: list[str]) -> tuple[int, list[str]]:
        """Run a program, without what this service knows; gives its status and all that it said."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PLEXUS_")}
        if self._index:  # not among the arguments, which everybody on the machine can read
            environment["UV_DEFAULT_INDEX"] = self._index
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                env={**environment, "NO_COLOR": "1", "UV_NO_PROGRESS": "1"},
                start_new_session=True,
                limit=_LINE_MAX,
            )
        except OSError as error:
            raise EnvironmentBrokenError(f"{command[0]} cannot be run: {error.strerror}") from None
        assert process.stdout is not None  # noqa: S101  # it is a pipe
        try:
            async with asyncio.timeout(self._seconds):
                async for line in process.stdout:
                    text = _ESCAPES.sub("", line.decode(errors="replace")).rstrip()
                    if text:
                        words.append(text)
                return await process.wait(), words
        except TimeoutError:
            raise EnvironmentBrokenError(f"it took longer than {self._seconds:g} seconds") from None
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


def _uv() -> str:
    try:
        from uv import find_uv_bin  # late: what needs no environment runs without it

        return find_uv_bin()
    except (ImportError, FileNotFoundError):
        raise EnvironmentBrokenError("uv is not installed beside the catalogue") from None


def _folders(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.is_dir()]


def _finish(made: Path, place: Path, lock: Lock) -> None:
    """Make it read-only, say what it is, and put it into its place, whole."""
    (made / "environment.json").write_text(json.dumps({"requirements": lock.requirements}, indent=1), encoding="utf-8")
    for path in made.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o444)
    made.rename(place)


def _reason(words: Sequence[str]) -> str:
    """The builder's reason without what it told on the way."""
    start = next((number for number, line in enumerate(words) if line.lstrip().startswith(("error:", "×"))), 0)
    text = " ".join(line.strip() for line in words[start:])
    return text.removeprefix("error: ").replace("cause: ", "")
