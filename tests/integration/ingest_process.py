"""Ingest as a process of its own, for tests that kill it or weigh it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.launcher.settings import free_port


class Process:
    """Ingest as its own process; `start` again after `kill`."""

    def __init__(self, database_url: str, nats_url: str, folder: Path, **settings: str) -> None:
        self.address = f"127.0.0.1:{(port := free_port())}"
        self.http = f"127.0.0.1:{(http := free_port())}"
        self._log = folder / "log"
        self._environment = os.environ | {
            "PLEXUS_INGEST_DATABASE_URL": database_url,
            "PLEXUS_INGEST_NATS_URL": nats_url,
            "PLEXUS_INGEST_OBJECTS_URL": f"file://{folder}/objects",
            "PLEXUS_INGEST_HTTP_PORT": str(http),
            "PLEXUS_INGEST_GRPC_PORT": str(port),
            "PLEXUS_INGEST_SETTLE_SECONDS": "0.5",
            "PLEXUS_INGEST_DELIVERY_LOST_SECONDS": "2",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "services.ingest"], env=self._environment, stdout=log, stderr=log
            )

    @property
    def pid(self) -> int:
        """Of the process that runs."""
        assert self._process is not None
        return self._process.pid

    def kill(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(60)
            self._process = None


@pytest.fixture
def process(request: pytest.FixtureRequest, database_url: str, nats_url: str, tmp_path: Path) -> Iterator[Process]:
    """A process that runs; a parameter holds more of its environment."""
    started = Process(database_url, nats_url, tmp_path, **getattr(request, "param", {}))
    started.start()
    yield started
    started.kill(signal.SIGTERM)
