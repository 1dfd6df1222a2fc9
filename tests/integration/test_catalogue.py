"""The catalogue as a process of its own, with real PostgreSQL, NATS and Triton, by the commands that people use."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import grpc.aio
import httpx
import nats
import numpy as np
import pytest
import pytest_asyncio
import tritonclient.grpc.aio as triton
import yaml
from rich.console import Console

from services.contracts import subjects
from services.contracts.calls import CatalogueStub, ListActiveRequest
from services.contracts.events import AuditRecorded, Figure, FigureKind, ShadowCompared
from services.launcher.authoring import template
from services.launcher.commands import shadow
from services.launcher.commands.models import Catalogue
from services.launcher.errors import EdgeError
from services.launcher.parts.triton import Triton
from services.launcher.settings import Settings, free_port
from services.launcher.setup import triton as environment_of_triton
from tests.unit.inference.networks import above

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Site:
    """A catalogue that runs."""

    url: str
    grpc: str
    triton: str
    nats_url: str
    shipped: Path
    log: Path

    @property
    def commands(self) -> Catalogue:
        return Catalogue(self.url)


@pytest.fixture(scope="module")
def triton_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A Triton that serves nothing yet: its address, and its model repository."""
    settings = Settings.on_free_ports(tmp_path_factory.mktemp("triton"))
    part = Triton(settings)
    program = part.prepare()
    repository = settings.data / "triton" / "models"
    process = subprocess.Popen(
        program.argv, env=dict(program.environment), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield settings.address("triton_grpc"), repository
    finally:
        process.terminate()
        process.wait(60)
        part.tidy()


@asynccontextmanager
async def running(environment: dict[str, str], log: Path) -> AsyncIterator[None]:
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.catalogue"),
            cwd=ROOT,
            env={**os.environ, **environment},
            stdout=output,
            stderr=output,
        )
    ready = f"http://127.0.0.1:{environment['PLEXUS_CATALOGUE_HTTP_PORT']}/readyz"
    try:
        async with httpx.AsyncClient() as http:
            while True:
                assert process.returncode is None, log.read_text()
                try:
                    if (await http.get(ready)).status_code == 200:
                        break
                except httpx.TransportError:
                    pass
                await asyncio.sleep(0.05)
        yield
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0, log.read_text()


@pytest_asyncio.fixture(scope="module")
async def site(
    postgres_url: str,
    nats_url: str,
    triton_of_its_own: tuple[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("catalogue")
    template.write(folder / "shipped" / "shipped-ct")
    server = await asyncpg.connect(postgres_url)
    name = f"catalogue_{uuid4().hex}"
    await server.execute(f'CREATE DATABASE "{name}"')
    http_port, grpc_port = free_port(), free_port()
    environment = {
        "PLEXUS_CATALOGUE_DATABASE_URL": postgres_url.rpartition("/")[0] + f"/{name}",
        "PLEXUS_CATALOGUE_NATS_URL": nats_url,
        "PLEXUS_CATALOGUE_HTTP_PORT": str(http_port),
        "PLEXUS_CATALOGUE_GRPC_PORT": str(grpc_port),
        "PLEXUS_CATALOGUE_PACKAGES_FOLDER": str(folder / "packages"),
        "PLEXUS_CATALOGUE_REPOSITORY_FOLDER": str(triton_of_its_own[1]),
        "PLEXUS_CATALOGUE_SHIPPED_FOLDER": str(folder / "shipped"),
        "PLEXUS_CATALOGUE_TRITON_ADDRESS": triton_of_its_own[0],
        "PLEXUS_CATALOGUE_WATCH_SECONDS": "0.3",
        "PLEXUS_CATALOGUE_ENVIRONMENTS_FOLDER": str(folder / "environments"),
        "PLEXUS_CATALOGUE_WHEELS_FOLDER": str(folder / "wheels"),
        "PLEXUS_CATALOGUE_PYTHON": str(environment_of_triton.FOLDER / "bin" / "python"),
    }
    log = folder / "log"
    async with running(environment, log):
        address = f"127.0.0.1:{grpc_port}"
        yield Site(f"http://127.0.0.1:{http_port}", address, triton_of_its_own[0], nats_url, folder / "shipped", log)
    await server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    await server.close()


def version_of(folder: Path, name: str, version: str, *, threshold: str = "300") -> Path:
    """A package whose model marks what is above a threshold."""
    package = folder / version / name
    template.write(package)
    card, code = package / "model.yaml", package / "triton" / "1" / "model.py"
    card.write_text(card.read_text().replace('"0.1.0"', f'"{version}"'))
    code.write_text(code.read_text().replace("300", threshold))
    return package


def network_of(folder: Path, name: str, version: str, *, threshold: float) -> Path:
    """The same as a network, which answers within milliseconds."""
    package = version_of(folder, name, version)
    shutil.rmtree(package / "triton")
    (package / "network.onnx").write_bytes(above(threshold))
    card = yaml.safe_load((package / "model.yaml").read_text())
    card |= {"kind": "onnx", "processing": {"measure": ["volume-ml"]}}
    (package / "model.yaml").write_text(yaml.safe_dump(card))
    return package


async def publish(site: Site, package: Path, *, activate: bool = True) -> dict[str, Any]:
    def run() -> dict[str, Any]:
        version = site.commands.checked(package)
        assert version["report"]["passed"], version["report"]
        site.commands.move(version["name"], version["version"], "publish")
        if activate:
            site.commands.move(version["name"], version["version"], "activate")
        return version

    return await asyncio.to_thread(run)


async def active(site: Site) -> dict[str, str]:
    """What is in use, as the worklist learns it."""
    async with grpc.aio.insecure_channel(site.grpc) as channel:
        reply = await CatalogueStub(channel).ListActive(ListActiveRequest())  # type: ignore[no-untyped-call]
    return {model.name: model.version for model in reply.models}


async def loaded(site: Site) -> set[str]:
    client = triton.InferenceServerClient(site.triton)
    index = await client.get_model_repository_index(as_json=True)
    await client.close()
    return {model["name"] for model in index.get("models", ()) if model.get("state") == "READY"}


async def test_what_is_shipped_serves_from_the_start(site: Site) -> None:
    assert (await active(site))["shipped-ct"] == "0.1.0"
    assert "shipped-ct-0.1.0" in await loaded(site)


async def test_an_author_brings_a_model_checks_it_and_puts_it_in_use(site: Site, tmp_path: Path) -> None:
    package = version_of(tmp_path, "author-ct", "1.0.0")
    client = await nats.connect(site.nats_url)
    heard = await client.subscribe(subjects.AUDIT_RECORDED)
    await client.flush()

    version = await asyncio.to_thread(site.commands.checked, package)
    assert (version["state"], version["report"]["passed"]) == ("validated", True)
    (case,) = version["report"]["cases"]
    assert case["figures"] == {"Dice Bright": 1.0, "measurements relative error": 0.0}
    await asyncio.to_thread(site.commands.fetch_report, version, package / "report")
    assert (package / "report" / "ball.png").read_bytes().startswith(b"\x89PNG")
    assert "passed" in (package / "report" / "report.html").read_text()
    with np.load(package / "report" / "ball.npz") as outputs:
        assert outputs["labels"].sum() > 0
    assert "author-ct" not in await active(site)
    assert not [name for name in await loaded(site) if name.startswith("check-")]

    await asyncio.to_thread(site.commands.move, "author-ct", "1.0.0", "publish")
    model = await asyncio.to_thread(site.commands.move, "author-ct", "1.0.0", "activate")
    assert model["active"] == (await active(site))["author-ct"] == "1.0.0"
    said: list[AuditRecorded] = []
    while len(said) < 4:
        one = AuditRecorded.from_bytes((await heard.next_msg(20)).data)
        said += [one] if one.service == "catalogue" else []
    assert [(one.action, one.detail, one.about, one.caller) for one in said] == [
        ("configure", f"model-{what}", "author-ct 1.0.0", "local")
        for what in ("uploaded", "checked", "published", "activated")
    ]
    changes = (await asyncio.to_thread(site.commands.ask, "GET", "/models/author-ct/changes")).json()["changes"]
    assert [one["what"] for one in changes] == ["activated", "published", "checked", "uploaded"]
    await client.close()


async def test_a_wrong_model_does_not_pass_and_cannot_be_published(site: Site, tmp_path: Path) -> None:
    package = version_of(tmp_path, "wrong-ct", "1.0.0", threshold="9000")
    version = await asyncio.to_thread(site.commands.checked, package)
    assert (version["state"], version["report"]["passed"]) == ("draft", False)
    assert version["report"]["cases"][0]["problems"][0] == "Bright: Dice 0.000 is below 0.99"
    with pytest.raises(EdgeError, match="has not passed its check"):
        await asyncio.to_thread(site.commands.move, "wrong-ct", "1.0.0", "publish")
    mended = version_of(tmp_path / "again", "wrong-ct", "1.0.0")
    assert (await publish(site, mended))["state"] == "validated"


async def test_the_bytes_of_a_published_version_are_fixed(site: Site, tmp_path: Path) -> None:
    await publish(site, version_of(tmp_path, "fixed-ct", "1.0.0"), activate=False)
    other = version_of(tmp_path / "other", "fixed-ct", "1.0.0", threshold="301")
    with pytest.raises(EdgeError, match="raise the card's version"):
        await asyncio.to_thread(site.commands.checked, other)


async def test_a_model_that_is_no_python_says_so_and_harms_nobody(site: Site, tmp_path: Path) -> None:
    package = version_of(tmp_path, "broken-ct", "1.0.0")
    (package / "triton" / "1" / "model.py").write_text("this is no Python")
    version = await asyncio.to_thread(site.commands.checked, package)
    assert version["report"]["passed"] is False
    assert "SyntaxError" in version["report"]["cases"][0]["problems"][0]
    assert "shipped-ct-0.1.0" in await loaded(site)


async def test_a_model_that_throws_and_one_that_never_ends_fail_their_check_alone(site: Site, tmp_path: Path) -> None:
    throwing = version_of(tmp_path, "throwing-ct", "1.0.0")
    code = throwing / "triton" / "1" / "model.py"
    code.write_text(code.read_text().replace("labels = (volume", "raise ValueError('no lung'); labels = (volume"))
    endless = version_of(tmp_path, "endless-ct", "1.0.0")
    code = endless / "triton" / "1" / "model.py"
    code.write_text(code.read_text().replace("labels = (volume", "import time; time.sleep(5); labels = (volume"))
    card = endless / "model.yaml"
    card.write_text(card.read_text().replace("timeout_seconds: 120", "timeout_seconds: 1"))
    for package, words in ((throwing, "no lung"), (endless, "took longer than 1 seconds")):
        version = await asyncio.to_thread(site.commands.checked, package)
        (case,) = version["report"]["cases"]
        assert not case["passed"]
        assert words in case["problems"][0]


async def test_switching_and_rolling_back_under_load_fails_no_request(
    site: Site, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Requests ask for the version that is in use, as jobs do; each must be answered by that very version."""
    await publish(site, network_of(tmp_path, "load-ct", "1.0.0", threshold=300))
    await publish(site, network_of(tmp_path, "load-ct", "2.0.0", threshold=400), activate=False)
    client, done = triton.InferenceServerClient(site.triton), asyncio.Event()
    answered: dict[str, int] = {}
    seconds: list[float] = []
    inputs = [
        triton.InferInput("volume", [4, 8, 8], "INT16"),
        triton.InferInput("spacing", [3], "FP64"),
        triton.InferInput("direction", [3, 3], "FP64"),
    ]
    volume = np.full((4, 8, 8), 350, np.int16)  # above the threshold of 1.0.0, below that of 2.0.0
    for tensor, values in zip(inputs, (volume, np.ones(3), np.eye(3)), strict=True):
        tensor.set_data_from_numpy(values)

    async def ask() -> None:
        while not done.is_set():
            version = (await active(site))["load-ct"]
            answer = await client.infer(f"load-ct-{version}", inputs)
            assert bool(answer.as_numpy("labels").any()) is (version == "1.0.0")
            answered[version] = answered.get(version, 0) + 1

    asking = [asyncio.create_task(ask()) for _ in range(2)]
    try:
        for _ in range(3):
            began = time.perf_counter()
            await asyncio.to_thread(site.commands.move, "load-ct", "2.0.0", "activate")
            switched = time.perf_counter()
            await asyncio.sleep(0.3)
            back = time.perf_counter()
            model = (await asyncio.to_thread(site.commands.ask, "POST", "/models/load-ct/rollback")).json()
            assert (model["active"], model["previous"]) == ("1.0.0", "2.0.0")
            seconds += [switched - began, time.perf_counter() - back]
            await asyncio.sleep(0.3)
    finally:
        done.set()
        await asyncio.gather(*asking)
        await client.close()
    assert set(answered) == {"1.0.0", "2.0.0"}
    record_property("requests", answered)
    record_property("seconds", [round(one, 3) for one in seconds])


async def test_a_version_that_breaks_when_it_is_activated_leaves_the_old_one_in_use(site: Site, tmp_path: Path) -> None:
    """It passed its check; what it needs is gone since."""
    await publish(site, version_of(tmp_path, "late-ct", "1.0.0"))
    package = version_of(tmp_path, "late-ct", "2.0.0")
    code = package / "triton" / "1" / "model.py"
    until = int(time.time()) + 6
    code.write_text(
        code.read_text() + f"\nimport time\nif time.time() > {until}: raise OSError('the licence is gone')\n"
    )
    await publish(site, package, activate=False)
    await asyncio.sleep(max(0, until - time.time()) + 0.1)
    with pytest.raises(EdgeError, match=r"late-ct 2\.0\.0 fails its test case ball.*the licence is gone"):
        await asyncio.to_thread(site.commands.move, "late-ct", "2.0.0", "activate")
    assert (await active(site))["late-ct"] == "1.0.0"
    assert "late-ct-1.0.0" in await loaded(site)


async def test_what_is_retired_is_unloaded_and_what_is_lost_is_loaded_again(site: Site, tmp_path: Path) -> None:
    await publish(site, version_of(tmp_path, "old-ct", "1.0.0"))
    await publish(site, version_of(tmp_path, "old-ct", "2.0.0"))
    assert {"old-ct-1.0.0", "old-ct-2.0.0"} <= await loaded(site)
    with pytest.raises(EdgeError, match="is active"):
        await asyncio.to_thread(site.commands.move, "old-ct", "2.0.0", "retire")
    await asyncio.to_thread(site.commands.move, "old-ct", "1.0.0", "retire")
    assert "old-ct-1.0.0" not in await loaded(site)
    with pytest.raises(EdgeError, match="no version of old-ct was active"):
        await asyncio.to_thread(site.commands.ask, "POST", "/models/old-ct/rollback")

    client = triton.InferenceServerClient(site.triton)
    await client.unload_model("old-ct-2.0.0")  # as a Triton that was started again
    await client.close()
    while "old-ct-2.0.0" not in await loaded(site):
        await asyncio.sleep(0.05)


async def beside(site: Site) -> dict[str, str]:
    """What runs in shadow, as the worklist learns it."""
    async with grpc.aio.insecure_channel(site.grpc) as channel:
        reply = await CatalogueStub(channel).ListActive(ListActiveRequest())  # type: ignore[no-untyped-call]
    return {model.name: model.shadow for model in reply.models if model.shadow}


async def test_a_shadow_is_loaded_heard_reported_and_ends_with_what_it_ran_beside(site: Site, tmp_path: Path) -> None:
    def ask(method: str, path: str = "/shadow") -> Any:
        return asyncio.to_thread(lambda: site.commands.ask(method, f"/models/near-ct{path}").json())

    def begin(version: str) -> Any:
        return asyncio.to_thread(site.commands.move, "near-ct", version, "shadow")

    await publish(site, version_of(tmp_path, "near-ct", "1.0.0"))
    package = version_of(tmp_path, "near-ct", "2.0.0", threshold="400")
    assert (await asyncio.to_thread(site.commands.checked, package))["state"] == "validated"
    with pytest.raises(EdgeError, match="no shadow of the model near-ct"):
        await ask("GET")
    with pytest.raises(EdgeError, match="is the active version"):
        await begin("1.0.0")
    assert (await begin("2.0.0"))["shadow"] == "2.0.0"
    assert await beside(site) == {"near-ct": "2.0.0"}
    assert "near-ct-2.0.0" in await loaded(site)
    other = version_of(tmp_path / "other", "near-ct", "2.0.0", threshold="500")
    with pytest.raises(EdgeError, match="runs in shadow"):
        await asyncio.to_thread(site.commands.checked, other)

    client = await nats.connect(site.nats_url)
    figures = (
        Figure(FigureKind.LABEL, "Bright", "", 10, 8, 0.75),
        Figure(FigureKind.MEASUREMENT, "Bright volume", "mL", 10, float("nan")),
    )
    near = ShadowCompared("j1", "near-ct", "1.0.0", "2.0.0", "", "", 1.0, 2.0, figures)
    late = ShadowCompared("j2", "near-ct", "0.9.0", "2.0.0", "", "", 1.0, 2.0, figures)
    failed = ShadowCompared("j3", "near-ct", "1.0.0", "2.0.0", "model-failed", "the model near-ct failed: no [lung]")
    for number, event in enumerate((near, late, near, failed)):
        await client.jetstream().publish(event.subject, event.to_bytes(), headers={"Nats-Msg-Id": f"near-{number}"})
    while (found := await ask("GET"))["runs"] < 2:
        await asyncio.sleep(0.05)
    assert (found["active"], found["candidate"], found["running"]) == ("1.0.0", "2.0.0", True)
    assert (found["runs"], found["failures"], found["labels"][0]["worst_job"]) == (2, {"model-failed": 1}, "j1")
    assert (found["measurements"][0]["n"], found["measurements"][0]["only_active"]) == (0, 1)
    shown = StringIO()
    shadow.tell(found, Console(file=shown, width=160))
    for text in ("2 runs, 1 without figures", "no [lung]", "0.7500 to 0.7500", "1 active, 0 candidate", "2.00 s"):
        assert text in shown.getvalue(), shown.getvalue()

    assert (await ask("DELETE"))["shadow"] == ""
    assert "near-ct-2.0.0" not in await loaded(site)
    with pytest.raises(EdgeError, match="no version of near-ct runs in shadow"):
        await ask("DELETE")
    assert (await ask("GET"))["running"] is False  # what was found stays
    for move in ("publish", "activate"):
        await asyncio.to_thread(site.commands.move, "near-ct", "2.0.0", move)
    await begin("1.0.0")
    assert (await asyncio.to_thread(site.commands.ask, "POST", "/models/near-ct/rollback")).json()["shadow"] == ""
    await begin("2.0.0")
    assert (await ask("GET"))["runs"] == 2  # the same pair again
    await asyncio.to_thread(site.commands.move, "near-ct", "2.0.0", "retire")
    assert await beside(site) == {}
    changes = [(one["what"], one["version"]) for one in (await ask("GET", "/changes"))["changes"]]
    assert changes[:6] == [
        ("shadow-ended", "2.0.0"),
        ("retired", "2.0.0"),
        ("shadow-begun", "2.0.0"),
        ("shadow-ended", "1.0.0"),
        ("activated", "1.0.0"),
        ("shadow-begun", "1.0.0"),
    ]
    described = httpx.get(f"{site.url}/catalogue/openapi.json").json()
    assert set(described["paths"]["/catalogue/models/{name}/shadow"]) == {"get", "delete"}
    await client.close()


async def test_what_is_not_there_is_said_plainly(site: Site) -> None:
    with pytest.raises(EdgeError, match="there is no model nobody"):
        await asyncio.to_thread(site.commands.ask, "GET", "/models/nobody")
    with pytest.raises(EdgeError, match=re.escape("no version 9 of the model shipped-ct")):
        await asyncio.to_thread(site.commands.ask, "GET", "/models/shipped-ct/versions/9")
    answer = httpx.post(f"{site.url}/catalogue/packages", content=b"noise")
    assert (answer.status_code, answer.json()["code"]) == (422, "package-refused")
