"""No string that names the patient is in the work store, on the compute subjects, in a log line, a span or a metric."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import nats
import numpy as np
import pytest
from nats.js.api import ConsumerConfig, DeliverPolicy

from services.contracts import subjects
from services.contracts.voices import VOICES, Voice
from services.launcher import registry
from tests.mesh import Site
from tests.studies import Study


def _needles(phi: tuple[str, ...]) -> list[bytes]:
    return [text.encode(charset) for text in phi for charset in ("utf-8", "utf-16-le")]


def _found(needles: list[bytes], places: Iterator[tuple[str, bytes]]) -> list[str]:
    """Where a needle occurs; the places only, so that a failing test prints no needle."""
    return [place for place, data in places if any(needle in data for needle in needles)]


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        yield f"the name of {path.name}", str(path.relative_to(folder)).encode()
        if not path.is_file():
            continue
        data = path.read_bytes()
        yield str(path), data
        if path.suffix == ".npz":  # compressed: look inside
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                for name in arrays.files:
                    yield f"{path}:{name}", arrays[name].tobytes()


async def _messages(site: Site, stream: str) -> list[tuple[str, bytes]]:
    password = (site.data / "secrets" / "nats_operator").read_text().strip()
    client = await nats.connect(
        f"nats://operator:{password}@{site.mesh.settings.address('nats')}", inbox_prefix=b"_INBOX_operator"
    )
    try:
        pull = await client.jetstream().pull_subscribe(
            "", stream=stream, config=ConsumerConfig(deliver_policy=DeliverPolicy.ALL)
        )
        found = []
        count = (await client.jetstream().stream_info(stream)).state.messages
        while len(found) < count:
            found += await pull.fetch(min(100, count - len(found)), timeout=5)
        return [
            (f"{message.subject} in {stream}", message.data + json.dumps(dict(message.headers or {})).encode())
            for message in found
        ]
    finally:
        await client.close()


@pytest.fixture(scope="module")
def done(site: Site, sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study with PHI in every corner, sent, found by names, and through the models."""
    from tests.studies import make_study

    study = make_study(sample, tmp_path_factory.mktemp("phi") / "study", seed="no phi leaves")
    sent = site.storescu(study.folder)
    assert sent.returncode == 0, sent.stderr
    for model in ("ct-lung", "ct-bone"):
        assert site.finished(study.study_instance_uid, model)["state"] == "completed"
    # The edges see PHI in queries and paths too, right and wrong ones.
    for path, params in (
        ("/dicom-web/studies", {"PatientName": f"{study.phi[0]}*"}),
        ("/dicom-web/studies", {"PatientID": study.phi[3], "StudyDate": "not-a-date"}),
        (f"/dicom-web/studies/{study.study_instance_uid}/series/{study.series_instance_uid}/metadata", {}),
        (f"/dicom-web/studies/{study.study_instance_uid}/series/{study.phi[0]}/metadata", {}),
        (f"/jobs/{study.phi[0]}", {}),
        ("/audit", {"study": study.study_instance_uid, "from": study.phi[0]}),
    ):
        site.http.get(path, params=params)
    return study


def test_the_needles_are_really_in_what_was_sent(done: Study) -> None:
    data = next(iter(sorted(done.folder.glob("*.dcm")))).read_bytes()
    texts = [text for text in done.phi if not text.startswith("2.25.")]
    missing = [text for text in texts if text.encode() not in data]
    assert missing == []


def test_the_search_finds_what_is_planted(done: Study, tmp_path: Path) -> None:
    (tmp_path / "leak.log").write_text(f'{{"event": "x", "name": "{done.phi[0]}"}}')
    assert _found(_needles(done.phi), _files(tmp_path)) == [str(tmp_path / "leak.log")]


def test_no_phi_is_in_the_work_store(site: Site, done: Study) -> None:
    assert any((site.data / "work").rglob("*.dcm")), "nothing was released: the test would prove nothing"
    assert _found(_needles(done.phi), _files(site.data / "work")) == []


@pytest.mark.parametrize("stream", [subjects.COMPUTE.name, subjects.DEAD_LETTERS.name])
async def test_no_phi_is_in_a_stream_that_the_compute_zone_reads(site: Site, done: Study, stream: str) -> None:
    messages = await _messages(site, stream)
    if stream == subjects.COMPUTE.name:
        assert {subjects.JOB_RELEASED, subjects.JOB_INFERRED} <= {place.split()[0] for place, _ in messages}
    assert _found(_needles(done.phi), iter(messages)) == []


@pytest.mark.parametrize("kind", ["logs", "spans"])
def test_no_phi_is_in_a_log_line_or_span(site: Site, done: Study, kind: str) -> None:
    folder = site.data / kind
    assert any(path.stat().st_size for path in folder.iterdir())
    assert _found(_needles(done.phi), _files(folder)) == []


def test_no_phi_is_in_a_metric(site: Site, done: Study) -> None:
    pages = []
    for part in registry.services():
        page = httpx.get(f"{site.mesh.settings.url(part.name)}/metrics")
        assert page.status_code == 200
        pages.append((f"metrics of {part.name}", page.content))
    assert _found(_needles(done.phi), iter(pages)) == []


def test_no_service_wants_more_of_the_bus_than_it_may(site: Site, done: Study) -> None:
    """A refusal in the log would mean that a service does not get what it needs."""
    refused = [path.name for path in (site.data / "logs").glob("*.log") if '"event": "bus.error"' in path.read_text()]
    assert refused == []


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.service)
async def test_a_service_may_say_and_hear_nothing_but_its_own(site: Site, voice: Voice) -> None:
    """Every subject, consumer and stream that is not a service's own, tried with its credentials."""
    name = voice.service
    password = (site.data / "secrets" / f"nats_{name}").read_text().strip()
    refused: list[str] = []

    async def on_error(error: Exception) -> None:
        refused.append(str(error).lower())

    client = await nats.connect(
        f"nats://{name}:{password}@{site.mesh.settings.address('nats')}",
        inbox_prefix=f"_INBOX_{name}".encode(),
        error_cb=on_error,
    )
    heard: list[bytes] = []

    async def hear(message: nats.aio.msg.Msg) -> None:
        heard.append(message.data)

    others = [each for each in VOICES if each is not voice]
    spoken = {subject for each in VOICES for subject in each.says} - set(voice.says)
    consumers = {each for other in others for each in other.hears}
    tries = [
        *spoken,
        *(f"$JS.API.CONSUMER.MSG.NEXT.{each.stream}.{each.consumer}" for each in consumers),
        *(f"$JS.API.CONSUMER.CREATE.{each.stream}.spy.{each.subject}" for each in consumers),
        *(f"$JS.API.CONSUMER.CREATE.{stream.name}.spy" for stream in subjects.STREAMS),
        *(f"$JS.API.STREAM.MSG.GET.{stream.name}" for stream in subjects.STREAMS),
        *(f"$JS.API.DIRECT.GET.{stream.name}" for stream in subjects.STREAMS),
        *(f"$JS.API.STREAM.DELETE.{stream.name}" for stream in subjects.STREAMS),
        *(f"$JS.API.STREAM.PURGE.{stream.name}" for stream in subjects.STREAMS),
    ]
    listened = [">", "plexus.>", *(f"_INBOX_{each.service}.>" for each in others), "_INBOX_operator.>"]
    for subject in tries:
        await client.publish(subject, b"{}")
    for subject in listened:
        await client.subscribe(subject, cb=hear)
    await client.flush()
    with suppress(TimeoutError):
        async with asyncio.timeout(10):  # the refusals are told one after another, by the way
            while len(refused) < len(tries) + len(listened):
                await asyncio.sleep(0.02)
    await client.close()
    assert sum("permissions violation" in text for text in refused) == len(tries) + len(listened)
    assert heard == []
