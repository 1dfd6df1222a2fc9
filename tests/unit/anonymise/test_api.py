"""`POST /deidentify`."""

import io
from collections.abc import AsyncIterator

import httpx
import pydicom
import pytest_asyncio

from services.anonymise.api import deidentify as api
from services.anonymise.engine.deidentifying import Policy
from services.anonymise.engine.pseudonyms import Pseudonyms
from services.chassis import http
from services.chassis.health import Health
from services.chassis.log import Log
from services.contracts.events import Action, AuditRecorded, Outcome
from services.dicom import multipart
from tests.unit.anonymise.fakes import FakeReleases
from tests.unit.anonymise.planted import ct, element, part10

GOOD = part10(ct())
BURNED_IN = part10(ct(element(0x00280301, "CS", b"YES")))
RELEASES = FakeReleases()


@pytest_asyncio.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    RELEASES.said.clear()
    routes = api.router(policy=Policy(Pseudonyms(b"k" * 32)), releases=RELEASES, most_bytes=100_000)
    app = http.create_app("anonymise", health=Health(), log=Log("anonymise"), routers=[routes])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://local") as found:
        yield found


async def post(client: httpx.AsyncClient, *files: bytes) -> httpx.Response:
    body = b"".join(multipart.part_head("b", "application/dicom") + file + multipart.PART_TAIL for file in files)
    headers = {"content-type": multipart.related("application/dicom", "b")}
    return await client.post("/deidentify", content=body + multipart.closing("b"), headers=headers)


def parts(answer: httpx.Response) -> list[pydicom.FileDataset]:
    parser = multipart.MultipartParser(multipart.multipart_boundary(answer.headers["content-type"]))
    data = b"".join(event.data for event in parser.feed(answer.content) if isinstance(event, multipart.PartData))
    starts = [place - 128 for place in range(len(data)) if data.startswith(b"DICM\x02\x00", place)]
    return [pydicom.dcmread(io.BytesIO(data[start:])) for start in starts]


def recorded() -> list[tuple[str, str, int]]:
    records = [event for event, _ in RELEASES.said if isinstance(event, AuditRecorded)]
    assert all(record.action is Action.DEIDENTIFY and record.caller == "local" for record in records)
    return [(record.outcome, record.reason_code, record.instances) for record in records]


async def test_instances_come_back_de_identified_and_it_is_recorded(client: httpx.AsyncClient) -> None:
    answer = await post(client, GOOD, GOOD)
    assert answer.status_code == 200 and "plexus-refused" not in answer.headers
    assert [ds.PatientIdentityRemoved for ds in parts(answer)] == ["YES", "YES"]
    assert b"Doe" not in answer.content and recorded() == [(Outcome.SUCCESS, "", 2)]


async def test_what_may_not_leave_is_left_out_and_counted(client: httpx.AsyncClient) -> None:
    answer = await post(client, GOOD, BURNED_IN, b"no dicom")
    assert answer.status_code == 202 and len(parts(answer)) == 1
    assert answer.headers["plexus-refused"] == "burned-in-annotation=1, unreadable=1"
    assert (Outcome.REFUSED, "burned-in-annotation", 1) in recorded()


async def test_nothing_comes_back_when_nothing_may_leave(client: httpx.AsyncClient) -> None:
    answer = await post(client, BURNED_IN)
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing-may-leave")


async def test_what_is_no_multipart_or_too_much_is_refused(client: httpx.AsyncClient) -> None:
    assert (await client.post("/deidentify", content=GOOD)).status_code == 400
    assert (await post(client, *[GOOD] * 200)).status_code == 413
    assert not RELEASES.said
