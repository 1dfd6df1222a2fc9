"""A mesh as others hold it: start, stop, look. The command line and the tests use the same.

with Mesh(Settings.on_free_ports(tmp_path)) as mesh:
    httpx.get(mesh.url("edge") + "/dicom-web/studies")
    os.kill(mesh.pid("encode"), signal.SIGKILL)
    mesh.wait_ready("encode", restarts=1)
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from services.launcher import state
from services.launcher.errors import MeshAlreadyUp, MeshNotUp, PortTaken, StartFailed
from services.launcher.parts.program import base_environment
from services.launcher.process import tail
from services.launcher.settings import REPOSITORY, Settings
from services.launcher.state import PartPhase, Phase, State

_POLL_SECONDS = 0.05

Watcher = Callable[[State], None]


class Mesh:
    """The mesh of some settings, up or not."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Starts it, tied to this process."""
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops it."""
        self.down()

    @property
    def is_up(self) -> bool:
        """Whether a supervisor lives on the data folder."""
        return state.is_held(self.settings.run)

    def state(self) -> State:
        """What the supervisor last told.

        Raises:
            MeshNotUp: there is no supervisor.
        """
        told = state.read(self.settings.run) if self.is_up else None
        if told is None:
            raise MeshNotUp(f"the mesh of {self.settings.data} is not up; start it with: ./plexus up")
        return told

    def as_running(self) -> Mesh:
        """The same mesh with the ports that it was started with, whatever the settings say now.

        Raises:
            MeshNotUp: there is no supervisor.
        """
        return Mesh(replace(self.settings, ports=self.state().ports or self.settings.ports))

    def up(self, watch: Watcher | None = None, *, stay: bool = False) -> State:
        """Starts the supervisor and waits until every part is ready.

        Args:
            watch: is called with each state on the way.
            stay: the mesh outlives this process; otherwise it is stopped when this process ends, however it ends.

        Raises:
            MeshAlreadyUp: another supervisor has the data folder.
            PortTaken, StartFailed: what the supervisor says.
        """
        if self.is_up:
            raise MeshAlreadyUp(f"the mesh of {self.settings.data} is up already; stop it with: ./plexus down")
        self._forget()
        self._make_folders()
        (self.settings.run / "state.json").unlink(missing_ok=True)
        log = self.settings.logs / "launcher.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "services.launcher.supervisor", *([] if stay else ["--tied"])],
                env=base_environment() | {"PYTHONPATH": str(REPOSITORY)} | self.settings.environment(),
                cwd=REPOSITORY,
                # tied: the pipe closes when this process ends, however it ends, and the supervisor stops
                stdin=subprocess.DEVNULL if stay else subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        told = self._follow(self._process, watch, until=(Phase.READY, Phase.STOPPED, Phase.FAILED))
        if told is not None and told.phase is Phase.READY:
            return told
        self.down()
        message = told.error if told is not None else None
        if message and message.startswith("port "):
            raise PortTaken(message)
        raise StartFailed(message or f"the supervisor ended:\n{tail(log)}")

    def down(self, watch: Watcher | None = None) -> None:
        """Stops every part in order, and waits for it; does nothing when the mesh is not up."""
        told = state.read(self.settings.run)
        if told is not None and state.is_held(self.settings.run):
            os.kill(told.pid, signal.SIGTERM)
            while state.is_held(self.settings.run):
                self._tell(watch)
                time.sleep(_POLL_SECONDS)
            self._tell(watch)
        self._forget()

    def pid(self, part: str) -> int | None:
        """The process id of a part; None while it does not run, such as between a crash and its next start.

        Raises:
            MeshNotUp: there is no mesh.
        """
        return self.state().parts[part].pid

    def url(self, port: str = "edge") -> str:
        """The HTTP address of a port by its name, as the running mesh has it."""
        return f"http://{self.address(port)}"

    def address(self, port: str) -> str:
        """`host:port` of a port by its name."""
        return self.settings.address(port)

    def wait_ready(self, part: str, *, restarts: int = 0, timeout_seconds: float = 120.0) -> None:
        """Waits until a part is ready after at least so many restarts.

        Raises:
            StartFailed: it was not in time.
        """
        end = time.monotonic() + timeout_seconds
        while time.monotonic() < end:
            current = self.state().parts[part]
            if current.phase is PartPhase.READY and current.restarts >= restarts:
                return
            time.sleep(_POLL_SECONDS)
        raise StartFailed(f"{part} was not ready in {timeout_seconds:.0f} s")

    def _make_folders(self) -> None:
        # may be passed through, but not listed: PostgreSQL's folder in it is another user's where we are root
        self.settings.data.mkdir(parents=True, exist_ok=True)
        self.settings.data.chmod(0o711)
        for folder in (self.settings.run, self.settings.logs):
            folder.mkdir(exist_ok=True, mode=0o700)

    def _forget(self) -> None:
        """Waits for the supervisor that we have started, if any, and lets go of its pipe."""
        if self._process is not None:
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process = None

    def _tell(self, watch: Watcher | None) -> None:
        told = state.read(self.settings.run)
        if told is not None and watch is not None:
            watch(told)

    def _follow(
        self, process: subprocess.Popen[bytes], watch: Watcher | None, *, until: tuple[Phase, ...]
    ) -> State | None:
        while True:
            ended = process.poll() is not None  # asked first: what it told last is read after its end
            told = state.read(self.settings.run)
            if told is not None and watch is not None:
                watch(told)
            if ended or (told is not None and told.phase in until):
                return told
            time.sleep(_POLL_SECONDS)
