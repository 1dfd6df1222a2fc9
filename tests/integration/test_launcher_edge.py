"""The edge: what goes where. Behind it stand small servers that say who they are."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from services.launcher.mesh import Mesh
from services.launcher.settings import Settings
from services.launcher.setup import viewer

UPSTREAMS = ("ingest", "archive", "worklist", "catalogue", "audit")


class _Upstream(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, name: str, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.name = name
        self.go_on = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Upstream

    def do_GET(self) -> None:
        if self.path.endswith("/events"):
            self._events()
            return
        told = {"who": self.server.name, "path": self.path, "traceparent": self.headers.get("traceparent")}
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.do_GET()

    def _events(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"data: first\n\n")
        self.wfile.flush()
        self.server.go_on.wait(30)
        self.wfile.write(b"data: second\n\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def mesh_and_upstreams(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mesh, dict[str, _Upstream]]]:
    settings = Settings.on_free_ports(tmp_path_factory.mktemp("edge"), parts=["edge"])
    with ExitStack() as stack:
        mesh = stack.enter_context(Mesh(settings))  # first: it looks whether its ports are free
        upstreams = {}
        for name in UPSTREAMS:
            upstream = stack.enter_context(_Upstream(name, settings.ports[name]))
            thread = threading.Thread(target=upstream.serve_forever)
            thread.start()
            stack.callback(thread.join)
            stack.callback(upstream.shutdown)
            stack.callback(upstream.go_on.set)
            upstreams[name] = upstream
        yield mesh, upstreams


@pytest.fixture
def client(mesh_and_upstreams: tuple[Mesh, dict[str, _Upstream]]) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=mesh_and_upstreams[0].url("edge")) as client:
        yield client


@pytest.mark.parametrize(
    ("method", "path", "who"),
    [
        ("POST", "/dicom-web/studies", "ingest"),
        ("POST", "/dicom-web/studies/1.2.3", "ingest"),
        ("GET", "/dicom-web/studies?PatientName=A*", "archive"),
        ("GET", "/dicom-web/studies/1.2.3/metadata", "archive"),
        ("POST", "/dicom-web/other", "archive"),
        ("GET", "/jobs", "worklist"),
        ("GET", "/jobs/abc", "worklist"),
        ("GET", "/workitems?limit=1", "worklist"),
        ("POST", "/dicom-web/workitems", "worklist"),
        ("GET", "/catalogue/models", "catalogue"),
        ("GET", "/audit?limit=1", "audit"),
    ],
)
def test_a_request_reaches_the_service_that_it_is_for_with_its_path_unchanged(
    client: httpx.Client, method: str, path: str, who: str
) -> None:
    told = client.request(method, path, content=b"x" if method == "POST" else None).json()
    assert (told["who"], told["path"]) == (who, path)


def test_the_trace_context_goes_through(client: httpx.Client) -> None:
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert client.get("/jobs", headers={"traceparent": parent}).json()["traceparent"] == parent


def test_server_sent_events_come_as_they_are_said(
    client: httpx.Client, mesh_and_upstreams: tuple[Mesh, dict[str, _Upstream]]
) -> None:
    with client.stream("GET", "/jobs/events", timeout=20) as answer:
        lines = (line for line in answer.iter_lines() if line)
        assert next(lines) == "data: first"  # while the second has not been said
        mesh_and_upstreams[1]["worklist"].go_on.set()
        assert next(lines) == "data: second"


@pytest.mark.parametrize("path", ["/jobs", "/jobs/abc/cancel", "/dicom-web/studies", "/catalogue/models"])
@pytest.mark.parametrize("origin", ["http://elsewhere.example", "null", "http://127.0.0.1:1", "http://x{host}"])
def test_a_page_of_another_origin_changes_nothing(client: httpx.Client, path: str, origin: str) -> None:
    host = client.base_url.netloc.decode()
    answer = client.post(
        path, content=b"{}", headers={"Origin": origin.format(host=host), "Content-Type": "text/plain"}
    )
    assert (answer.status_code, answer.json()["code"]) == (403, "foreign-origin")


@pytest.mark.parametrize("headers", [{}, {"Host": "inside:1", "X-Forwarded-Host": "plexus.example"}])
def test_our_own_page_may_ask_for_runs(client: httpx.Client, headers: dict[str, str]) -> None:
    own = headers.get("X-Forwarded-Host", client.base_url.netloc.decode())
    answer = client.post("/jobs", content=b"{}", headers={"Origin": f"http://{own}", **headers})
    assert answer.json()["who"] == "worklist"


def test_a_page_of_another_origin_opens_no_channel(client: httpx.Client) -> None:
    upgrade = {"Origin": "http://elsewhere.example", "Connection": "Upgrade", "Upgrade": "websocket"}
    assert client.get("/ws/subscribers/VIEWER", headers=upgrade).status_code == 403


@pytest.mark.parametrize("path", ["/nothing", "/jobsx", "/auditor", "/dicom-webx", "/metrics", "/readyz"])
def test_what_is_not_offered_is_not_found(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_the_root_leads_to_the_viewer_and_a_study_to_its_own_page(client: httpx.Client) -> None:
    assert client.get("/").headers["location"] == "/viewer"
    study = client.get("/viewer?StudyInstanceUIDs=1.2.3")
    assert (study.status_code, study.headers["location"]) == (302, "/viewer/viewer?StudyInstanceUIDs=1.2.3")


@pytest.mark.skipif(not viewer.is_there(), reason="the viewer is not installed (./plexus up installs it)")
def test_the_viewer_is_served_with_its_assets_and_our_configuration(client: httpx.Client) -> None:
    page = client.get("/viewer")
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["content-security-policy"].startswith("default-src 'self' ")
    assert "//" not in page.headers["content-security-policy"], "nobody else is named"
    assert 'src="/viewer/app.bundle.' in page.text
    assert client.get("/viewer/viewer?StudyInstanceUIDs=1.2").text == page.text
    configuration = client.get("/viewer/app-config.js")
    assert configuration.headers["content-type"].startswith("text/javascript")
    assert "routerBasename: '/viewer'" in configuration.text
    for name in viewer.own():
        part = client.get(f"/viewer/{name}")
        assert (part.status_code, part.headers["cache-control"]) == (200, "no-cache")


def test_paths_and_queries_are_in_no_log(client: httpx.Client, mesh_and_upstreams: tuple[Mesh, object]) -> None:
    client.get("/dicom-web/studies?PatientName=Secret")
    client.get("/nothing?PatientName=Secret")
    mesh = mesh_and_upstreams[0]
    assert "Secret" not in (mesh.settings.logs / "edge.log").read_text()
