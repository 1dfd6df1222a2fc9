"""`./plexus demo` as a new user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from services.launcher.commands import demo
from services.launcher.mesh import Mesh
from services.launcher.settings import REPOSITORY, Settings

_FAILED = {
    "id": "3f1c",
    "model": "ct-lung",
    "model_version": "1.0.0",
    "state": "failed",
    "step": "assemble",
    "reason_code": "not-a-volume",
    "reason": "The slices are not equally spaced.",
}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings.on_free_ports(tmp_path_factory.mktemp("demo") / "data")


def _demo(settings: Settings, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [REPOSITORY / "plexus", "demo", *arguments],
        env={**os.environ, **settings.environment(), "COLUMNS": "200"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def _left_of(settings: Settings) -> list[str]:
    left = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            if str(settings.data).encode() in file.read_bytes():
                left.append((file.parent / "cmdline").read_text())
        except OSError:
            continue
    return left


def test_the_demo_shows_findings_link_job_and_trace_and_leaves_nothing_running(settings: Settings) -> None:
    with _demo(settings, "--exit") as process:
        assert process.stdout is not None
        text = process.stdout.read()
    assert process.returncode == 0, text
    for told in ("received 100/100", "settled", "de-identified", "inferred", "encoded", "stored"):
        assert told in text
    for told in ("Left lung", "Right lung", "mL", "HU", "not for clinical use", "dimse association", "triton compute"):
        assert told in text
    assert f"http://127.0.0.1:{settings.ports['edge']}/viewer?StudyInstanceUIDs=1." in text
    assert "initialSeriesInstanceUID=" in text
    assert _left_of(settings) == []


def test_a_second_demo_sends_nothing_again_and_ctrl_c_stops_everything(settings: Settings) -> None:
    with _demo(settings) as process:
        assert process.stdout is not None
        text = ""
        for line in process.stdout:
            text += line
            if "Ctrl-C" in line:
                os.kill(process.pid, signal.SIGINT)
    assert process.returncode == 0, text
    assert "sent before" in text
    assert "received" not in text
    assert "Left lung" in text
    assert _left_of(settings) == []


class _FailedJob(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({"jobs": [_FAILED]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def mesh_of_a_failed_job(tmp_path: Path) -> Iterator[Mesh]:
    settings = Settings.on_free_ports(tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", settings.ports["edge"]), _FailedJob) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield Mesh(settings)
        server.shutdown()
        thread.join()


def test_a_failed_job_is_told_with_its_reason_and_the_demo_has_failed(mesh_of_a_failed_job: Mesh) -> None:
    console = Console(file=StringIO(), width=200)
    assert demo.run(mesh_of_a_failed_job, console) is False
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "job 3f1c failed" in text
    assert "not-a-volume: The slices are not equally spaced." in text
