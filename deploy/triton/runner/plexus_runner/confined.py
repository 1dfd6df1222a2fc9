"""A package's own code in a process of its own: no network, so much memory, so much time; it breaks alone."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plexus_runner import beside
from plexus_runner.beside import Beside
from plexus_runner.refusals import Refused

_RUNNER = Path(__file__).resolve().parents[1]
_WORDS = 300


class CodeRunner:
    """A `plexus_runner.packages.Runner` of a package with code."""

    def __init__(self, card: dict[str, Any], package: Path) -> None:
        self._card = card
        self._package = package
        if not (package / card["code"]["main"]).is_file():
            raise Refused(f"the package lacks the file {card['code']['main']}")

    def run(
        self,
        volume: NDArray[Any],
        spacing: NDArray[np.float64],
        direction: NDArray[np.float64],
        more: Mapping[str, Beside] = MappingProxyType({}),
    ) -> dict[str, NDArray[Any]]:
        """The outputs, by name."""
        with tempfile.TemporaryDirectory(prefix="plexus-code-") as name:
            folder = Path(name)
            np.save(folder / "volume.npy", volume)
            job = {
                "card": self._card,
                "spacing": list(spacing),
                "direction": direction.tolist(),
                "more": beside.write(more, folder),
            }
            (folder / "job.json").write_text(json.dumps(job))
            self._wait(folder)
            return _read(folder / "answer.npz")

    def _wait(self, folder: Path) -> None:
        seconds, memory = self._card["code"]["seconds"], self._card["code"]["memory_mb"] << 20
        words = folder / "words"
        with words.open("wb") as errors:
            process = subprocess.Popen(
                [_python(), "-m", "plexus_runner.worker", str(folder), str(self._package), str(memory)],
                cwd=folder,
                env=_environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
            try:
                code = process.wait(seconds)
            except subprocess.TimeoutExpired:
                raise Refused(f"its code was stopped after {seconds:g} s, which is what its card allows") from None
            finally:
                # Whatever it has started ends with it.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if code == 0:
            return
        last = (words.read_bytes()[-4096:].decode(errors="replace").strip().splitlines() or [""])[-1]
        if code < 0:
            last = f"its process was ended by {signal.Signals(-code).name}"
        elif "MemoryError" in last or "Unable to allocate" in last:
            last = f"its code needs more memory than the {self._card['code']['memory_mb']} MiB of its card"
        raise Refused(last[:_WORDS] or f"its code ended with {code}")


def _python() -> str:
    """The interpreter of the environment that Triton runs in; inside its stub `sys.executable` may name another."""
    return shutil.which("python3") or sys.executable


def _environment(folder: Path) -> dict[str, str]:
    """All that the code has of an environment."""
    return {
        "PYTHONPATH": str(_RUNNER),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "LC_ALL": "C.UTF-8",
    }


def _read(path: Path) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except (OSError, ValueError, EOFError):
        raise Refused("its code gave no answer") from None
