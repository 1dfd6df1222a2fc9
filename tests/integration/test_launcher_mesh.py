"""The supervisor with real parts: starts, watches, stops, and leaves nothing."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.launcher import state
from services.launcher.errors import MeshAlreadyUp, MeshNotUp, PortTaken, StartFailed
from services.launcher.mesh import Mesh
from services.launcher.settings import REPOSITORY, Settings
from services.launcher.state import PartPhase, Phase

PARTS = ("postgres", "nats", "redis", "edge")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.on_free_ports(tmp_path / "data", parts=PARTS)


@pytest.fixture
def mesh(settings: Settings) -> Iterator[Mesh]:
    mesh = Mesh(settings)
    yield mesh
    mesh.down()


def _processes(folder: Path) -> list[str]:
    """The processes that have a folder in their command line."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


def _until(what: object, condition: object) -> None:
    end = time.monotonic() + 60
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_every_part_becomes_ready_and_after_down_nothing_is_left(mesh: Mesh) -> None:
    seen: list[state.State] = []
    told = mesh.up(seen.append)
    assert told.phase is Phase.READY
    assert {name: part.phase for name, part in told.parts.items()} == dict.fromkeys(PARTS, PartPhase.READY)
    pids = [mesh.pid(name) for name in PARTS]
    assert len(set(pids)) == len(PARTS)
    assert any(part.phase is PartPhase.STARTING for told in seen for part in told.parts.values())

    mesh.down()
    assert not mesh.is_up
    assert all(pid is not None and _gone(pid) for pid in pids)
    assert _processes(mesh.settings.data) == []
    last = state.read(mesh.settings.run)
    assert last is not None
    assert last.phase is Phase.STOPPED


def test_what_lies_in_the_data_folder_is_readable_by_its_owner_only(mesh: Mesh) -> None:
    mesh.up()
    for path in mesh.settings.data.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    assert mesh.settings.data.stat().st_mode & 0o777 == 0o711


def test_what_was_written_is_there_after_the_next_start(mesh: Mesh) -> None:
    mesh.up()
    secrets_before = {file.name: file.read_bytes() for file in mesh.settings.secrets.iterdir()}
    mesh.down()
    mesh.up()
    assert {file.name: file.read_bytes() for file in mesh.settings.secrets.iterdir()} == secrets_before


@pytest.mark.parametrize("part", ["nats", "postgres", "edge"])
def test_a_part_that_is_killed_is_started_again(mesh: Mesh, part: str) -> None:
    mesh.up()
    before = mesh.pid(part)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    mesh.wait_ready(part, restarts=1)
    assert mesh.pid(part) not in (before, None)
    assert mesh.state().phase is Phase.READY


def test_when_the_supervisor_is_killed_the_kernel_ends_every_part(mesh: Mesh) -> None:
    mesh.up()
    pids = [mesh.pid(name) for name in PARTS]
    os.kill(mesh.state().pid, signal.SIGKILL)
    _until("the end of all parts", lambda: all(pid is not None and _gone(pid) for pid in pids))
    _until("the lock", lambda: not mesh.is_up)
    mesh.up()  # and nothing of it stands in the way
    assert mesh.state().phase is Phase.READY


def test_when_the_process_that_started_it_is_killed_the_mesh_stops_in_order(settings: Settings) -> None:
    code = f"""
import sys, time
from pathlib import Path
from services.launcher.mesh import Mesh
from services.launcher.settings import Settings
Mesh(Settings.read({settings.environment()!r})).up()
print("up", flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        assert starter.stdout.readline() == "up\n"
        starter.kill()
    _until("the end of the mesh", lambda: not state.is_held(settings.run))
    last = state.read(settings.run)
    assert last is not None
    assert last.phase is Phase.STOPPED
    assert _processes(settings.data) == []


def test_a_taken_port_is_told_and_nothing_is_started(mesh: Mesh) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", mesh.settings.ports["nats"]))
        other.listen()
        with pytest.raises(PortTaken, match=f"port {mesh.settings.ports['nats']} of nats .* PLEXUS_PORT_NATS"):
            mesh.up()
    assert not mesh.is_up
    assert list(mesh.settings.logs.glob("redis.log")) == []


def test_a_part_that_cannot_start_ends_the_start_with_the_tail_of_its_log(mesh: Mesh) -> None:
    # a folder where Redis would write its configuration
    (mesh.settings.run / "redis.conf").mkdir(parents=True)
    with pytest.raises(StartFailed, match=r"redis\.conf"):
        mesh.up()
    assert not mesh.is_up
    assert _processes(mesh.settings.data) == []


def test_two_meshes_of_one_folder_are_refused_and_of_two_folders_are_not(mesh: Mesh, tmp_path: Path) -> None:
    mesh.up()
    with pytest.raises(MeshAlreadyUp):
        Mesh(mesh.settings).up()
    with Mesh(Settings.on_free_ports(tmp_path / "second", parts=["nats", "redis"])) as second:
        assert second.is_up
    assert mesh.state().phase is Phase.READY


def test_a_mesh_that_is_not_up_says_what_to_do(mesh: Mesh) -> None:
    with pytest.raises(MeshNotUp, match=r"plexus up"):
        mesh.state()
    mesh.down()  # which is fine


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a folder that is closed to others")
def test_postgresql_runs_for_root_in_a_folder_that_is_closed_to_everybody_else(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    with Mesh(Settings.on_free_ports(closed / "data", parts=["postgres"])) as mesh:
        assert mesh.state().parts["postgres"].phase is PartPhase.READY
