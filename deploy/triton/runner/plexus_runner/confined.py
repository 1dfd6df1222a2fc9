"""A package's own code in a process of its own: no network, so much memory, so much time; it breaks alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from plexus_runner import family, job
from plexus_runner.question import Question
from plexus_runner.refusals import STOPPED, Refused

_RUNNER = Path(__file__).resolve().parents[1]
_WORDS = 300
_LOOK_SECONDS = 0.5
_OWN_BYTES = 128 << 20
"""What Python and NumPy take themselves."""


class CodeRunner:
    """A `plexus_runner.packages.Runner` of a package with code."""

    def __init__(self, card: dict[str, Any], package: Path) -> None:
        self._card = card
        self._package = package
        if not (package / card["code"]["main"]).is_file():
            raise Refused(f"the package lacks the file {card['code']['main']}")
        own = card.get("environment")
        self._site = Path(os.path.abspath(package / own)) if own else None  # noqa: PTH100 - links stay what they are
        if self._site is not None and not self._site.is_dir():
            raise Refused("the environment of its requirements.lock is not here; plexus model check builds it")

    def run(self, question: Question) -> dict[str, NDArray[Any]]:
        """The outputs, by name."""
        with tempfile.TemporaryDirectory(prefix="plexus-code-") as name:
            folder = Path(name)
            job.write(self._card, question, folder)
            self._wait(folder, question.stopped)
            return job.answered(question, folder)

    def _wait(self, folder: Path, stopped: Callable[[], bool]) -> None:
        seconds, memory = self._card["code"]["seconds"], self._card["code"]["memory_mb"] << 20
        words = folder / "words"
        with words.open("wb") as errors:
            process = subprocess.Popen(
                [*self._python(), "-m", "plexus_runner.worker", str(folder), str(self._package), str(memory)],
                cwd=folder,
                env=self._environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                start_new_session=True,
            )
            try:
                code = self._ended(process, seconds, memory, stopped)
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
        elif any(one in last for one in ("MemoryError", "Unable to allocate", "allocate memory", "bad_alloc")):
            last = self._too_much()
        raise Refused(last[:_WORDS] or f"its code ended with {code}")

    def _ended(self, process: subprocess.Popen[bytes], seconds: float, memory: int, stopped: Callable[[], bool]) -> int:
        """Its exit status, once it has ended within its limits."""
        end = time.monotonic() + seconds
        while True:
            try:
                return process.wait(min(_LOOK_SECONDS, max(end - time.monotonic(), 0)))
            except subprocess.TimeoutExpired:
                if time.monotonic() >= end:
                    raise Refused(f"its code was stopped after {seconds:g} s, which is what its card allows") from None
                if stopped():
                    raise Refused(STOPPED) from None
                if family.taken(process.pid) > memory + _OWN_BYTES:
                    raise Refused(self._too_much()) from None

    def _too_much(self) -> str:
        return f"its code needs more memory than the {self._card['code']['memory_mb']} MiB of its card"

    def _python(self) -> list[str]:
        """The interpreter that Triton runs in; inside its stub `sys.executable` may name another.

        A package with an environment has that and the standard library alone: no `site`, so nothing of Triton's.
        """
        found = shutil.which("python3") or sys.executable
        return [found] if self._site is None else [os.path.realpath(found), "-S", "-s"]

    def _environment(self, folder: Path) -> dict[str, str]:
        """All that the code has of an environment."""
        imports = [str(_RUNNER)] if self._site is None else [str(_RUNNER), str(self._site)]
        return {
            "PYTHONPATH": ":".join(imports),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PATH": "/usr/bin:/bin",
            "HOME": str(folder),
            "TMPDIR": str(folder),
            "LC_ALL": "C.UTF-8",
        }
