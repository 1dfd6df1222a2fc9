"""Triton's own virtual environment (`.venv-triton`) from requirements/triton.lock, and the folder of its backend.

Its python backend loads `libpython` of the interpreter whose stub it runs, and needs numpy 1: hence Python 3.11 or
3.12, and never the main environment.
"""

from __future__ import annotations

import ctypes.util
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from services.launcher.errors import SetupError
from services.launcher.settings import REPOSITORY
from services.launcher.setup import debian, steps

FOLDER = REPOSITORY / ".venv-triton"
LOCK = REPOSITORY / "requirements" / "triton.lock"
ORPHAN_SIGNAL = signal.SIGTERM
"""An orphaned server is asked to end, so that it ends its stubs, which the kernel would not."""

_UV = str(REPOSITORY / ".venv" / "bin" / "uv")
_STAMP = FOLDER / "plexus.json"
_VERSIONS = ("3.11", "3.12")  # numpy 1.26 has no wheel for later ones
_PROBE = """
import json, sys, sysconfig
print(json.dumps({
    "version": "%d.%d" % sys.version_info[:2],
    "executable": sys.executable,
    "library": sysconfig.get_config_var("INSTSONAME"),
    "folder": sysconfig.get_config_var("LIBDIR"),
}))
"""


@dataclass(frozen=True, slots=True)
class Installation:
    """Where the parts of an installed Triton lie."""

    server: Path
    backends: Path
    bin: Path
    libraries: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class _Interpreter:
    version: str
    executable: str
    library: str
    folder: str

    @property
    def shared_library(self) -> str:
        """What the stub of this version is linked with."""
        return f"libpython{self.version}.so.1.0"

    def library_folder(self) -> Path | None:
        """The interpreter's own folder of libraries, where it holds the shared library."""
        return Path(self.folder) if (Path(self.folder) / self.shared_library).exists() else None

    def can_run_stub(self) -> bool:
        """Whether the loader will find libpython."""
        return self.library_folder() is not None or ctypes.util.find_library(f"python{self.version}") is not None


def step() -> steps.Step:
    """The step that makes it."""
    return steps.Step("Triton inference server (.venv-triton)", _is_done, _make)


def installation() -> Installation:
    """The installed Triton.

    Raises:
        SetupError: it is not installed.
    """
    if not _is_done():
        raise SetupError("Triton is not installed; run ./plexus up")
    stamp = json.loads(_STAMP.read_text())
    packages = _packages(stamp["version"])
    libraries = [packages / "nvidia_pytriton.libs", *map(Path, stamp["libraries"])]
    return Installation(
        server=packages / "pytriton" / "tritonserver" / "bin" / "tritonserver",
        backends=FOLDER / "backends",
        bin=FOLDER / "bin",
        libraries=tuple(libraries),
    )


def _is_done() -> bool:
    try:
        stamp = json.loads(_STAMP.read_text())
    except (OSError, ValueError):
        return False
    return bool(stamp.get("lock") == _digest() and stamp.get("folder") == str(FOLDER))


def _make() -> None:
    interpreter = _find_interpreter()
    if not interpreter.can_run_stub():
        debian.install([f"libpython{interpreter.version}"], needed_for="Triton's python backend")
    python = str(FOLDER / "bin" / "python")
    steps.run("making .venv-triton", [_UV, "venv", "--clear", "--python", interpreter.executable, str(FOLDER)])
    steps.run(
        "installing Triton",
        [_UV, "pip", "sync", "--require-hashes", "--compile-bytecode", "--python", python, str(LOCK)],
    )
    _assemble_backend(interpreter.version)
    own = interpreter.library_folder()
    _STAMP.write_text(
        json.dumps(
            {
                "lock": _digest(),
                "folder": str(FOLDER),  # a moved clone has stale paths in its environment
                "version": interpreter.version,
                "libraries": [str(own)] if own else [],
            }
        )
    )


def _assemble_backend(version: str) -> None:
    server = _packages(version) / "pytriton" / "tritonserver"
    backend = FOLDER / "backends" / "python"
    backend.mkdir(parents=True)
    for file in (server / "backends" / "python").iterdir():
        if file.is_file():
            shutil.copy2(file, backend)
    stub = backend / "triton_python_backend_stub"
    shutil.copy2(server / "python_backend_stubs" / version / stub.name, stub)
    stub.chmod(0o755)


def _find_interpreter() -> _Interpreter:
    names = [sys.executable, *(f"python{version}" for version in _VERSIONS), "python3", *_known_to_uv()]
    if chosen := os.environ.get("PLEXUS_TRITON_PYTHON"):
        names = [chosen]
    found = [interpreter for name in names if (interpreter := _ask(name)) is not None]
    for interpreter in found:  # one that needs no Debian package is better
        if interpreter.can_run_stub():
            return interpreter
    if found:
        return found[0]
    raise SetupError(
        f"Triton's python backend needs Python {' or '.join(_VERSIONS)} beside the one that runs Plexus; get one:  "
        f"{_UV} python install {_VERSIONS[-1]}\nor set PLEXUS_TRITON_PYTHON to one that is not on PATH"
    )


def _known_to_uv() -> list[str]:
    """Interpreters that uv has fetched before; it fetches none here."""
    found = []
    for version in _VERSIONS:
        ask = [_UV, "python", "find", "--no-python-downloads", version]
        answer = subprocess.run(ask, capture_output=True, text=True, check=False)
        if answer.returncode == 0:
            found.append(answer.stdout.strip())
    return found


def _ask(name: str) -> _Interpreter | None:
    try:
        answer = subprocess.run([name, "-c", _PROBE], capture_output=True, text=True, check=False)
    except OSError:
        return None
    if answer.returncode != 0:
        return None
    interpreter = _Interpreter(**json.loads(answer.stdout))
    return interpreter if interpreter.version in _VERSIONS else None


def _packages(version: str) -> Path:
    return FOLDER / "lib" / f"python{version}" / "site-packages"


def _digest() -> str:
    return hashlib.sha256(LOCK.read_bytes()).hexdigest()
