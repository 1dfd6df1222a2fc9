"""The HTTP side of every service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

import httpx
import pytest
import pytest_asyncio
from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from services.chassis import http, telemetry
from services.chassis.faults import Fault, PassingFault, PermanentFault
from services.chassis.health import Health
from services.chassis.log import Log
from services.chassis.principal import Principal
from tests.unit.chassis.spans import recorded

SECRET = "Doe^Jane"


def router() -> APIRouter:
    """Some resources that fail in each way."""
    routes = APIRouter(prefix="/things")

    @routes.get("/{name}")
    async def thing(name: str, caller: Annotated[Principal, Depends(http.caller)], limit: int = 1) -> dict[str, object]:
        return {"caller": caller.subject, "source": caller.source, "trace": telemetry.trace_id()}

    @routes.get("/{name}/passing")
    async def passing(name: str) -> None:
        raise PassingFault("database-unreachable", "PostgreSQL does not answer")

    @routes.get("/{name}/permanent")
    async def permanent(name: str) -> None:
        raise PermanentFault("no-such-thing", "there is no such thing")

    @routes.get("/{name}/unforeseen")
    async def unforeseen(name: str) -> None:
        raise ValueError(f"{SECRET} {name}")

    @routes.get("/{name}/half")
    async def half(name: str) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"some"
            raise ValueError(SECRET)

        return StreamingResponse(body())

    return routes


@pytest.fixture
def health() -> Health:
    """The health of the service under test."""
    return Health()


@pytest_asyncio.fixture
async def client(health: Health) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it."""
    app = http.create_app("tested", health=health, log=Log("tested"), routers=[router()])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as found:
        yield found


async def test_a_living_process_says_so(client: httpx.AsyncClient) -> None:
    assert (await client.get("/healthz")).status_code == 200


async def test_a_process_is_ready_once_it_has_started_and_its_parts_answer(
    client: httpx.AsyncClient, health: Health
) -> None:
    assert (await client.get("/readyz")).json() == {"ready": False, "failing": ["starting"]}
    health.started = True
    assert (await client.get("/readyz")).status_code == 200
    works = True

    async def part() -> None:
        if not works:
            raise ValueError(SECRET)

    health.add("database", part)
    assert (await client.get("/readyz")).status_code == 200
    works = False
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"ready": False, "failing": ["database"]})
    health.stopping = True
    assert (await client.get("/readyz")).json()["failing"] == ["stopping"]
    assert (await client.get("/healthz")).status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/things/a/passing", 503, "database-unreachable"),
        ("/things/a/permanent", 400, "no-such-thing"),
        ("/things/a/unforeseen", 500, "internal"),
        ("/things/a?limit=Doe^Jane", 400, "invalid-parameter"),
        ("/nowhere/Doe^Jane", 404, "http"),
    ],
)
async def test_every_error_is_a_problem_without_a_word_of_the_question(
    client: httpx.AsyncClient, path: str, status: int, code: str
) -> None:
    answer = await client.get(path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["detail"]
    assert SECRET not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_a_service_may_say_the_status_of_its_faults(health: Health) -> None:
    def status_of(fault: Fault) -> int:
        return 404 if fault.code.startswith("no-such-") else 500

    app = http.create_app("tested", health=health, log=Log("t"), routers=[router()], status_of=status_of)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
        assert (await client.get("/things/a/permanent")).status_code == 404


async def test_a_handler_knows_its_caller(client: httpx.AsyncClient) -> None:
    answer = (await client.get("/things/a")).json()
    assert (answer["caller"], answer["source"]) == ("local", "127.0.0.1")


async def test_a_wrong_method_is_told_which_are_right(client: httpx.AsyncClient) -> None:
    answer = await client.post("/things/a")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"


async def test_a_trace_goes_on_and_its_span_has_the_route_and_not_the_path(client: httpx.AsyncClient) -> None:
    with recorded() as exporter:
        with telemetry.span("client") as outer:
            headers = telemetry.inject()
        answer = await client.get(f"/things/{SECRET}?limit=5", headers=headers)
        span = exporter.get_finished_spans()[-1]
    assert answer.json()["trace"] == f"{outer.get_span_context().trace_id:032x}"
    assert span.name == "GET /things/{name}"
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "http.route": "/things/{name}",
        "http.response.status_code": 200,
    }


async def test_a_path_that_matches_nothing_is_not_in_its_span(client: httpx.AsyncClient) -> None:
    with recorded() as exporter:
        await client.get(f"/nowhere/{SECRET}")
        assert "GET unmatched" in [span.name for span in exporter.get_finished_spans()]
        assert not any(SECRET in span.to_json() for span in exporter.get_finished_spans())


async def test_an_error_in_the_middle_of_a_body_is_not_taken_for_an_answer(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(AssertionError):  # httpx's: the body was never said to be complete; a server cuts the connection
        await client.get("/things/a/half")
    assert [record.getMessage() for record in caplog.records if record.name == "plexus.tested"] == ["http.failed"]


@pytest_asyncio.fixture
async def direct(health: Health) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app with a resource past the framework."""

    async def answer(request: Request) -> Response:
        match request.path_params["name"]:
            case "missing":
                raise PermanentFault("no-such-thing", "there is no such thing")
            case "odd":
                raise ValueError(SECRET)
            case name:
                found = {"name": name, "source": http.caller(request).source, "trace": telemetry.trace_id()}
                return JSONResponse(found, headers={"X-Direct": "yes"})

    app = http.create_app(
        "tested",
        health=health,
        log=Log("tested"),
        routers=[router()],
        direct=[
            http.Direct("/things/{name}/parts/{number}", answer),
            http.Direct("/things/{name}/whole", answer, spanned=True),
        ],
        status_of=lambda fault: 404,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as found:
        yield found


async def test_a_direct_resource_has_a_span_where_it_is_said_to_have_one(direct: httpx.AsyncClient) -> None:
    with recorded() as exporter:
        assert (await direct.get(f"/things/{SECRET}/parts/1")).json()["trace"] == ""
        assert (await direct.get(f"/things/{SECRET}/whole")).json()["trace"]
        assert [span.name for span in exporter.get_finished_spans()] == ["GET /things/{name}/whole"]


async def test_a_direct_resource_is_answered_past_the_framework(direct: httpx.AsyncClient) -> None:
    answer = await direct.get("/things/a/parts/1")
    assert answer.json() == {"name": "a", "source": "127.0.0.1", "trace": ""}
    assert (await direct.head("/things/a/parts/1")).headers["x-direct"] == "yes"
    assert (await direct.post("/things/a/parts/1")).status_code == 404, "other methods go to the routes"
    assert (await direct.get("/things/a")).status_code == 200


async def test_a_fault_of_a_direct_resource_is_a_problem_too(
    direct: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    missing = await direct.get("/things/missing/parts/1")
    assert (missing.status_code, missing.json()["code"]) == (404, "no-such-thing")
    odd = await direct.get("/things/odd/parts/1")
    assert (odd.status_code, odd.json()["code"]) == (500, "internal")
    assert SECRET not in odd.text
    assert [record.getMessage() for record in caplog.records if record.name == "plexus.tested"] == ["http.failed"]


async def test_a_direct_resource_has_a_span_where_the_caller_traces_and_only_there(direct: httpx.AsyncClient) -> None:
    with recorded() as exporter:
        await direct.get("/things/a/parts/1")
        assert not [span for span in exporter.get_finished_spans() if span.name.startswith("GET")]
        with telemetry.span("client") as outer:
            headers = telemetry.inject()
        answer = await direct.get("/things/a/parts/1", headers=headers)
        span = exporter.get_finished_spans()[-1]
    assert answer.json()["trace"] == f"{outer.get_span_context().trace_id:032x}"
    assert span.name == "GET /things/{name}/parts/{number}"
    assert dict(span.attributes or {})["http.response.status_code"] == 200


async def test_metrics_are_there(client: httpx.AsyncClient) -> None:
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")


async def test_health_and_metrics_leave_no_spans(client: httpx.AsyncClient) -> None:
    with recorded() as exporter:
        for path in ("/healthz", "/readyz", "/metrics"):
            await client.get(path)
        assert not any(span.name.startswith("GET") for span in exporter.get_finished_spans())
