"""A bucket is opened with the keys of the service that opens it, and with no others."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr

from services.anonymise.adapters.work_store import ObstoreWork
from services.chassis.bucket import BucketKeysMissing, open_bucket
from services.chassis.settings import WorkSettings
from services.inference.adapters.obstore import ObstoreWorkStore


class S3(BaseHTTPRequestHandler):
    """As much of an S3 store as it takes to see whose key a request is signed with."""

    def do_PUT(self) -> None:
        """Take it."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._note()
        self.send_response(200)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        """There is nothing."""
        self._note()
        self.send_response(404)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not on standard error."""

    def _note(self) -> None:
        signed = re.search(r"Credential=([^/]+)/", self.headers.get("Authorization", ""))
        self.server.seen.append((self.command, self.path, signed[1] if signed else ""))  # type: ignore[attr-defined]


@pytest.fixture
def s3() -> Iterator[ThreadingHTTPServer]:
    """The store."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), S3)
    server.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def test_each_service_signs_with_its_own_key(s3: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "lies-around")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "lies-around")

    def settings(name: str) -> WorkSettings:
        endpoint = f"http://127.0.0.1:{s3.server_address[1]}"
        return WorkSettings(
            work_url="s3://work/jobs",
            work_access_key=name,
            work_secret_key=SecretStr("k" * 20),
            work_endpoint=endpoint,
        )

    hospital, compute = settings("of-anonymise"), settings("of-inference")
    await ObstoreWork.at(hospital.work_url, hospital.work_keys).write("1/input", b"x")
    await ObstoreWorkStore.at(compute.work_url, compute.work_keys).find("1/result")
    assert s3.seen == [  # type: ignore[attr-defined]
        ("PUT", "/work/jobs/1/input", "of-anonymise"),
        ("GET", "/work/jobs/1/result", "of-inference"),
    ]
    assert "k" * 20 not in repr(hospital.work_keys) + repr(hospital)


def test_keys_that_lie_around_in_the_environment_open_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "lies-around")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "lies-around")
    for settings in (WorkSettings(work_url="s3://work"), WorkSettings(work_url="s3://work", work_access_key="a")):
        with pytest.raises(BucketKeysMissing):
            open_bucket(settings.work_url, settings.work_keys)
