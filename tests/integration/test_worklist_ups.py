"""UPS-RS, table by table of PS3.18 chapter 11, by a client that knows the standard alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.contracts.events import AuditRecorded, JobCancelled, JobCompleted, JobFailed, JobProgressed, JobRequested
from services.dicom.native_xml import native_dicom_model, parse_native
from tests.integration.ups_client import (
    FILTERED,
    GLOBAL,
    Ups,
    attribute,
    coded,
    discontinued,
    event,
    performed,
    state,
    told,
    uid,
    workitem,
)
from tests.integration.worklist_parts import CT_IMAGE, Mesh, Series

INCONSISTENT = "The submitted request is inconsistent with the state of the UPS Instance."
XML = 'multipart/related; type="application/dicom+xml"'


@pytest.fixture
def mesh(worklist_mesh: Mesh) -> Mesh:
    return worklist_mesh


@pytest.fixture
def ups(mesh: Mesh) -> Ups:
    return Ups(mesh.http, mesh.addresses[0])


def warning(reply: Any) -> str:
    value = str(reply.headers.get("warning", ""))
    assert not value or value.startswith("299 http")
    return value.partition(" ")[2].partition(" ")[2].strip('"')


# 11.4 Create


async def test_a_work_item_is_created_with_its_uid_in_the_query(ups: Ups) -> None:
    made = uid()
    reply = await ups.ask("POST", f"/workitems?{made}", workitem())
    assert (reply.status_code, reply.content, warning(reply)) == (201, b"", "")
    assert reply.headers["location"] == f"{ups.address}/workitems/{made}"
    found = await ups.get(made)
    assert found["00741000"]["Value"] == ["SCHEDULED"]
    assert found["00080016"]["Value"] == ["1.2.840.10008.5.1.4.34.6.1"]
    assert found["00741202"]["Value"] == ["Plexus AI"]  # we label what nobody has (Table CC.2.5-3)
    assert "00404010" in found
    assert (await ups.ask("POST", f"/workitems?workitem={made}", workitem())).status_code == 409


async def test_a_work_item_is_created_with_its_uid_in_the_data_set(ups: Ups) -> None:
    made = uid()
    reply = await ups.ask("POST", "/dicom-web/workitems", workitem(t00080018=attribute("UI", made)))
    assert reply.headers["location"] == f"{ups.address}/dicom-web/workitems/{made}"
    both = await ups.ask("POST", f"/workitems?{uid()}", workitem(t00080018=attribute("UI", made)))
    assert both.status_code == 400


async def test_what_may_be_empty_is_added_and_the_answer_says_so(ups: Ups) -> None:
    reply = await ups.ask("POST", f"/workitems?{uid()}", workitem(t00400400=None, t0040A370=None))
    assert (reply.status_code, warning(reply)) == (201, "The Workitem was created with modifications.")


@pytest.mark.parametrize(
    ("tag", "element"),
    [
        ("00741200", None),
        ("00741200", attribute("CS", "STAT")),
        ("00741204", attribute("LO")),
        ("00404005", None),
        ("00404041", None),
        ("00741000", attribute("CS", "IN PROGRESS")),
        ("00081195", attribute("UI", "1.2")),
        ("00741002", attribute("SQ", {"00741004": attribute("DS", "5")})),
        ("00741216", performed()["00741216"]),
        ("00404034", attribute("SQ", {"00404037": attribute("PN", {"Alphabetic": "Roe"})})),
        ("00404018", attribute("SQ", {"00080100": attribute("SH", "X")})),
    ],
)
async def test_what_the_table_of_attributes_forbids_is_refused(ups: Ups, tag: str, element: Any) -> None:
    reply = await ups.ask("POST", f"/workitems?{uid()}", workitem(**{f"t{tag}": element}))
    assert reply.status_code == 400
    assert "Roe" not in reply.text


@pytest.mark.parametrize(
    "body",
    [
        *("", "{", "[1]", "[{}, {}]", '{"00100010": 1}', '{"00100010": {}}', '{"name": {"vr": "LO"}}'),
        *('{"00741204": {"vr": "LO", "Value": ["\\u0000"]}}', '{"00741204": {"vr": "LO", "Value": ["\\ud800"]}}'),
        *('{"00404021": {"vr": "SQ", "Value": [1]}}', '{"00741204": {"vr": "LO", "Value": [{}]}}'),
        '{"00404021": {"vr": "SQ", "Value": [' * 100 + "{}" + "]}}" * 100,
    ],
)
async def test_a_body_that_is_no_work_item_is_refused(ups: Ups, body: str) -> None:
    reply = await ups.http.post(f"{ups.address}/workitems", content=body, headers={"content-type": "application/json"})
    assert reply.status_code == 400


async def test_another_media_type_is_refused_both_ways(ups: Ups) -> None:
    assert (await ups.ask("POST", "/workitems", workitem(), content_type="text/plain")).status_code == 415
    assert (await ups.ask("GET", f"/workitems/{await ups.create()}", accept="text/html")).status_code == 406


# 11.5 Retrieve


async def test_a_work_item_is_read_in_xml_as_in_json(ups: Ups) -> None:
    made = uid()
    document = native_dicom_model(workitem())
    body = b"--B\r\nContent-Type: application/dicom+xml\r\n\r\n" + document + b"\r\n--B--"
    reply = await ups.http.post(
        f"{ups.address}/workitems?{made}", content=body, headers={"content-type": f"{XML}; boundary=B"}
    )
    assert reply.status_code == 201, reply.text
    answer = await ups.ask("GET", f"/workitems/{made}", accept=XML)
    assert answer.headers["content-type"].startswith("multipart/related")
    inner = answer.content[answer.content.index(b"<?xml") : answer.content.rindex(b"\r\n--")]
    assert parse_native(inner) == await ups.get(made)


async def test_the_transaction_uid_is_never_answered(ups: Ups) -> None:
    made = await ups.create()
    transaction = await ups.claim(made)
    for path in (f"/workitems/{made}", f"/workitems?00080018={made}&includefield=all&includefield=00081195"):
        reply = await ups.ask("GET", path)
        assert reply.status_code == 200
        assert transaction not in reply.text
        assert "00081195" not in reply.text


async def test_what_is_not_there_is_not_found(ups: Ups) -> None:
    for method, path in [
        ("GET", ""), ("POST", ""), ("PUT", "/state"), ("POST", "/cancelrequest"), ("POST", "/subscribers/A"),
    ]:  # fmt: skip
        reply = await ups.ask(method, f"/workitems/{uid()}{path}", state("IN PROGRESS", "1.2"))
        assert (reply.status_code, reply.json()["code"]) == (404, "C307")


# 11.6 Update


async def test_a_work_item_that_nobody_has_claimed_is_updated_without_a_transaction(ups: Ups) -> None:
    made = await ups.create()
    assert (await ups.ask("POST", f"/workitems/{made}", {"00741200": attribute("CS", "HIGH")})).status_code == 200
    assert (await ups.get(made))["00741200"]["Value"] == ["HIGH"]
    reply = await ups.ask("POST", f"/workitems/{made}?transaction-uid=1.2", {"00741200": attribute("CS", "LOW")})
    assert (reply.status_code, warning(reply)) == (400, "The target URI did not reference a claimed Workitem.")


async def test_only_who_has_claimed_a_work_item_updates_it(ups: Ups) -> None:
    made = await ups.create()
    transaction = await ups.claim(made)
    change = {"00741204": attribute("LO", "In hand")}
    for query in ("", "?transaction-uid=1.2"):
        reply = await ups.ask("POST", f"/workitems/{made}{query}", change)
        assert (reply.status_code, warning(reply)) == (400, "The target URI did not reference a claimed Workitem.")
    assert (await ups.ask("POST", f"/workitems/{made}?transaction-uid={transaction}", change)).status_code == 200
    assert (await ups.get(made))["00741204"]["Value"] == ["In hand"]


@pytest.mark.parametrize("tag", ["00741000", "00100010", "0040A370", "00080018", "00380010"])
async def test_what_must_not_be_set_is_refused(ups: Ups, tag: str) -> None:
    made = await ups.create()
    assert (await ups.ask("POST", f"/workitems/{made}", {tag: attribute("LO", "1.2")})).status_code == 400
    assert (await ups.ask("POST", f"/workitems/{made}", {"00741200": attribute("CS")})).status_code == 400


# 11.7 Change state: PS3.4 Table CC.1.1-2


async def at(ups: Ups, where: str) -> tuple[str, str]:
    """A work item in a state, and the key to it."""
    made, transaction = await ups.create(), ""
    if where != "SCHEDULED":
        transaction = await ups.claim(made)
    if where in ("COMPLETED", "CANCELED"):
        final = performed() if where == "COMPLETED" else discontinued()
        assert (await ups.ask("POST", f"/workitems/{made}?transaction-uid={transaction}", final)).status_code == 200
        assert (await ups.ask("PUT", f"/workitems/{made}/state", state(where, transaction))).status_code == 200
    return made, transaction


STATES = ("SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED")
MISSING, INCORRECT = "The Transaction UID is missing.", "The Transaction UID is incorrect."
MACHINE = {  # what is asked for: what comes of it in each of STATES
    "SCHEDULED": ("409 C303",) * 4,
    "IN PROGRESS": ("200", "409 C302", "409 C300", "409 C300"),
    "COMPLETED": ("409 C310", "409 C304", "200 The UPS is already in the requested state of COMPLETED.", "409 C300"),
    "CANCELED": ("409 C310", "409 C304", "409 C300", "200 The UPS is already in the requested state of CANCELED."),
}


@pytest.mark.parametrize("asked", MACHINE)
async def test_the_state_machine_is_that_of_the_standard(ups: Ups, asked: str) -> None:
    for where, expected in zip(STATES, MACHINE[asked], strict=True):
        made, transaction = await at(ups, where)
        reply = await ups.ask("PUT", f"/workitems/{made}/state", state(asked, transaction or uid()))
        found = f"{reply.status_code} {reply.json()['code'] if reply.content else warning(reply)}".strip()
        assert found == expected, where
        if reply.status_code == 409:
            assert warning(reply) == INCONSISTENT


@pytest.mark.parametrize("asked", ["IN PROGRESS", "COMPLETED", "CANCELED"])
async def test_a_change_of_state_without_its_key_is_refused_in_every_state(ups: Ups, asked: str) -> None:
    for where in STATES:
        made, _ = await at(ups, where)
        reply = await ups.ask("PUT", f"/workitems/{made}/state", state(asked))
        assert (reply.status_code, reply.json()["code"], warning(reply)) == (400, "C301", MISSING), where
    made, _ = await at(ups, "IN PROGRESS")
    reply = await ups.ask("PUT", f"/workitems/{made}/state", state(asked, uid()))
    assert (reply.status_code, reply.json()["code"], warning(reply)) == (400, "C301", INCORRECT)


async def test_of_many_who_claim_at_once_in_two_processes_one_gets_it(mesh: Mesh, ups: Ups) -> None:
    made = await ups.create()
    both = [Ups(mesh.http, address) for address in mesh.addresses]
    replies = await asyncio.gather(
        *(both[n % 2].ask("PUT", f"/workitems/{made}/state", state("IN PROGRESS", uid())) for n in range(12))
    )
    assert sorted(reply.status_code for reply in replies) == [200] + [400] * 11


async def test_the_final_states_ask_for_what_the_table_says(ups: Ups) -> None:
    for tag in ("00404028", "00404050", "00404019", "00404051", "00404033"):
        made, transaction = await at(ups, "IN PROGRESS")
        done = performed()
        del done["00741216"]["Value"][0][tag]
        assert (await ups.ask("POST", f"/workitems/{made}?transaction-uid={transaction}", done)).status_code == 200
        reply = await ups.ask("PUT", f"/workitems/{made}/state", state("COMPLETED", transaction))
        assert (reply.status_code, reply.json()["code"]) == (409, "C304")
    made, _ = await at(ups, "CANCELED")  # the time of the cancellation is ours to add
    assert "00404052" in (await ups.get(made))["00741002"]["Value"][0]
    refused = await ups.ask("POST", f"/workitems/{made}", {"00741204": attribute("LO", "late")})
    assert (refused.status_code, refused.json()["code"]) == (400, "C300")


# 11.8 Request cancellation


async def test_what_nobody_has_begun_is_cancelled_at_once(ups: Ups) -> None:
    made = await ups.create()
    reply = await ups.ask("POST", f"/workitems/{made}/cancelrequest", {"00741238": attribute("LT", "not needed")})
    assert reply.status_code == 202
    found = await ups.get(made)
    information = found["00741002"]["Value"][0]
    assert (found["00741000"]["Value"], information["00741238"]["Value"]) == (["CANCELED"], ["not needed"])
    again = await ups.ask("POST", f"/workitems/{made}/cancelrequest")
    assert (again.status_code, warning(again)) == (202, "The UPS is already in the requested state of CANCELED.")
    done, _ = await at(ups, "COMPLETED")
    late = await ups.ask("POST", f"/workitems/{done}/cancelrequest")
    assert (late.status_code, late.json()["code"], warning(late)) == (409, "C311", "The UPS is already COMPLETED.")


async def test_its_performer_is_told_who_wants_a_work_item_cancelled_and_why(ups: Ups) -> None:
    made, transaction = await at(ups, "IN PROGRESS")
    async with ups.channel("PERFORMER") as socket:
        await ups.ask("POST", f"/workitems/{made}/subscribers/PERFORMER")
        assert told(await event(socket)) == (made, 1, "IN PROGRESS")
        asked = {"00741238": attribute("LT", "wrong patient"), "0074100C": attribute("LO", "Ward 3")}
        assert (await ups.ask("POST", f"/workitems/{made}/cancelrequest?requester=RIS", asked)).status_code == 202
        report = await event(socket)
        assert told(report)[:2] == (made, 2)
        assert [report[tag]["Value"] for tag in ("00741236", "00741238", "0074100C")] == [
            ["RIS"], ["wrong patient"], ["Ward 3"],
        ]  # fmt: skip
    assert await ups.state_of(made) == "IN PROGRESS"
    await ups.ask("POST", f"/workitems/{made}?transaction-uid={transaction}", discontinued())
    assert (await ups.ask("PUT", f"/workitems/{made}/state", state("CANCELED", transaction))).status_code == 200


# 11.9 Search


async def test_work_items_are_found_by_their_attributes(ups: Ups) -> None:
    label = f"L{uid()[-12:]}"
    patient = attribute("PN", {"Alphabetic": "Müller^Jörg"})
    changes: list[dict[str, Any]] = [
        {"t00741200": attribute("CS", "HIGH"), "t00404005": attribute("DT", "20261120080000")},
        {"t00404018": attribute("SQ", coded("OTHER", "Another")), "t00100010": patient},
        {"t00404041": attribute("CS", "INCOMPLETE"), "t00100020": attribute("LO", "P7")},
    ]
    made = [await ups.create(workitem(t00741202=attribute("LO", label), **change)) for change in changes]
    for query, expected in {
        "": made,
        "ScheduledProcedureStepPriority=HIGH": made[:1],
        "00741200=HIGH": made[:1],
        "ScheduledProcedureStepStartDateTime=20261120": made[:1],
        "ScheduledProcedureStepStartDateTime=20261121-": made[1:],
        "ScheduledProcedureStepStartDateTime=-20261120": made[:1],
        "ScheduledWorkitemCodeSequence.CodeValue=OTHER": made[1:2],
        "00404018.00080100=OTHER": made[1:2],
        "PatientName=muller*": made[1:2],
        "PatientID=P7&InputReadinessState=INCOMPLETE": made[2:],
        "PatientID=p7": [],
        "ProcedureStepState=IN PROGRESS": [],
        "ProcedureStepState=SCHEDULED&limit=2&offset=1": made[1:],
    }.items():
        reply = await ups.ask("GET", f"/workitems?WorklistLabel={label}&{query}")
        found = [each["00080018"]["Value"][0] for each in reply.json()] if reply.content else []
        assert (reply.status_code, found) == (200 if expected else 204, expected), query


async def test_a_search_answers_what_the_table_lists_and_what_is_asked_for(ups: Ups) -> None:
    made = await ups.create()
    (found,) = (await ups.ask("GET", f"/workitems?00080018={made}")).json()
    assert {"00080016", "00080018", "00741200", "00741204", "00404018", "00100010", "00741000"} <= found.keys()
    assert found.keys().isdisjoint({"00404010", "00741216"})
    asked = f"/workitems?00080018={made}&includefield=ScheduledProcedureStepModificationDateTime"
    assert "00404010" in (await ups.ask("GET", asked)).json()[0]


async def test_a_page_says_that_there_is_more_and_a_key_that_is_none_is_named(ups: Ups) -> None:
    label = f"L{uid()[-12:]}"
    for _ in range(2):
        await ups.create(workitem(t00741202=attribute("LO", label)))
    reply = await ups.ask("GET", f"/workitems?WorklistLabel={label}&limit=1&fuzzymatching=true&Nonsense=1")
    assert (reply.status_code, len(reply.json())) == (206, 1)
    warnings = str(reply.headers.get_list("warning"))
    for text in ("There are additional results", "Only literal matching", "cannot be matched"):
        assert text in warnings
    for query in ("limit=x", "StudyInstanceUID=abc", "ScheduledProcedureStepStartDateTime=soon"):
        assert (await ups.ask("GET", f"/workitems?{query}")).status_code == 400


# 11.10 to 11.12 Subscriptions, 8.10 the event channel


async def test_a_subscriber_hears_every_change_in_whichever_process_it_is_made(mesh: Mesh, ups: Ups) -> None:
    other = Ups(mesh.http, mesh.addresses[1])
    made = await ups.create()
    reply = await ups.ask("POST", f"/workitems/{made}/subscribers/WATCHER?deletionlock=true")
    assert reply.status_code == 201
    assert reply.headers["content-location"] == ups.address.replace("http", "ws") + "/ws/subscribers/WATCHER"
    async with other.channel("WATCHER") as socket:
        assert socket.subprotocol == "dicom"
        assert (await other.ask("POST", f"/workitems/{made}/subscribers/WATCHER")).status_code == 201
        assert told(await event(socket)) == (made, 1, "SCHEDULED")
        transaction = await ups.claim(made)
        heard = told(await event(socket))
        if heard == (made, 1, "SCHEDULED"):  # of the first subscription: it was told while the channel was opened
            heard = told(await event(socket))
        assert heard == (made, 1, "IN PROGRESS")
        key = f"/workitems/{made}?transaction-uid={transaction}"
        await ups.ask("POST", key, {"00741002": attribute("SQ", {"00741004": attribute("DS", "40")})})
        assert told(await event(socket)) == (made, 3, "40")
        await ups.ask("POST", key, {"00404025": attribute("SQ", coded("A", "Station A"))})
        assert told(await event(socket))[:2] == (made, 5)
        await ups.ask("POST", key, {"00404041": attribute("CS", "INCOMPLETE")})
        assert told(await event(socket)) == (made, 1, "IN PROGRESS")
        await ups.ask("POST", key, performed())
        await ups.ask("PUT", f"/workitems/{made}/state", state("COMPLETED", transaction))
        assert told(await event(socket)) == (made, 1, "COMPLETED")
    assert (await ups.ask("DELETE", f"/workitems/{made}/subscribers/WATCHER")).status_code == 200
    assert (await ups.ask("DELETE", f"/workitems/{made}/subscribers/WATCHER")).status_code == 404


async def test_who_subscribes_to_the_worklist_hears_of_what_is_new_until_it_suspends(ups: Ups) -> None:
    everything = f"/workitems/{GLOBAL}/subscribers/ALL"
    async with ups.channel("ALL") as socket:
        assert (await ups.ask("POST", everything)).status_code == 201
        first = await ups.create(workitem(t00404025=attribute("SQ", coded("A", "Station A"))))
        assert told(await event(socket)) == (first, 1, "SCHEDULED")
        assert told(await event(socket))[:2] == (first, 5)
        assert (await ups.ask("POST", f"{everything}/suspend")).status_code == 200
        await ups.create()
        await ups.claim(first)  # still told of what it is subscribed to
        assert told(await event(socket)) == (first, 1, "IN PROGRESS")
        assert (await ups.ask("POST", f"{everything}/suspend")).status_code == 404
        assert (await ups.ask("POST", everything)).status_code == 201
        assert (await ups.ask("DELETE", everything)).status_code == 200
        assert (await ups.ask("DELETE", everything)).status_code == 404
    assert (await ups.ask("POST", f"/workitems/{uid()}/subscribers/ALL/suspend")).status_code == 400


async def test_a_filtered_subscription_hears_of_what_matches_and_with_a_lock_how_it_stands(ups: Ups) -> None:
    label = f"L{uid()[-12:]}"
    there = await ups.create(workitem(t00741202=attribute("LO", label)))
    path = f"/workitems/{FILTERED}/subscribers/SOME"
    assert (await ups.ask("POST", path)).status_code == 400
    assert (await ups.ask("POST", f"{path}?filter=Nonsense=1")).status_code == 400
    query = f"filter=WorklistLabel={label},ScheduledProcedureStepPriority=MEDIUM&deletionlock=true"
    async with ups.channel("SOME") as socket:
        assert (await ups.ask("POST", f"{path}?{query}")).status_code == 201
        assert told(await event(socket)) == (there, 1, "SCHEDULED")
        await ups.create()
        await ups.create(workitem(t00741202=attribute("LO", label), t00741200=attribute("CS", "LOW")))
        new = await ups.create(workitem(t00741202=attribute("LO", label)))
        assert told(await event(socket)) == (new, 1, "SCHEDULED")
    assert (await ups.ask("DELETE", path)).status_code == 200


# Jobs are work items


async def of_job(mesh: Mesh, ups: Ups, series: Series, model: str = "ct-lung") -> str:
    """The UID of the work item of a series' job, once it is there."""
    query = f"ScheduledWorkitemCodeSequence.CodeValue={model}&InputInformationSequence.SeriesInstanceUID={series.uid}"

    async def ask() -> Any:
        reply = await ups.ask("GET", f"/workitems?{query}")
        return reply.json()[-1]["00080018"]["Value"][0] if reply.content else None

    return str(await mesh.until(ask))


async def in_state(mesh: Mesh, ups: Ups, item: str, wanted: str) -> dict[str, Any]:
    async def ask() -> Any:
        found = await ups.get(item)
        return found if found["00741000"]["Value"] == [wanted] else None

    return dict(await mesh.until(ask))


async def test_a_job_is_a_work_item_that_the_mesh_claims_performs_and_completes(mesh: Mesh, ups: Ups) -> None:
    series = Series()
    async with ups.channel("VIEWER") as socket:
        await ups.ask("POST", f"/workitems/{FILTERED}/subscribers/VIEWER?filter=StudyInstanceUID={series.study}")
        await mesh.settle(series)
        job = await mesh.lung_job(series)
        item = await of_job(mesh, ups, series)
        found = await in_state(mesh, ups, item, "IN PROGRESS")
        (source,) = found["00404021"]["Value"]
        assert source["00081199"]["Value"][0]["00081150"]["Value"] == [CT_IMAGE]
        assert source["0040E025"]["Value"][0]["00081190"]["Value"] == [
            f"http://edge.example/dicom-web/studies/{series.study}/series/{series.uid}"
        ]
        assert (found["00404041"]["Value"], found["0020000D"]["Value"]) == (["READY"], [series.study])
        stolen = await ups.ask("PUT", f"/workitems/{item}/state", state("CANCELED", uid()))
        assert stolen.status_code == 400
        await mesh.bus.mention(JobProgressed(job["id"], "deidentify", 50, 100))
        await mesh.bus.say(JobCompleted(job["id"], mesh.results))
        await in_state(mesh, ups, item, "COMPLETED")
        told_of_it = []
        while ("COMPLETED",) not in told_of_it[-1:]:
            report = told(await event(socket))
            if report[0] == item:
                told_of_it.append((report[2],))
        assert told_of_it[:2] == [("SCHEDULED",), ("IN PROGRESS",)]
        assert ("8.3",) in told_of_it
        await ups.ask("DELETE", f"/workitems/{FILTERED}/subscribers/VIEWER")
    done = (await ups.get(item))["00741216"]["Value"][0]
    (output,) = done["00404033"]["Value"]
    assert output["00081199"]["Value"][0]["00081155"]["Value"] == ["1.2.3.4"]


async def test_to_cancel_the_work_item_cancels_the_job(mesh: Mesh, ups: Ups) -> None:
    series = Series()
    await mesh.settle(series)
    job = await mesh.lung_job(series)
    item = await of_job(mesh, ups, series)
    await in_state(mesh, ups, item, "IN PROGRESS")
    assert (await ups.ask("POST", f"/workitems/{item}/cancelrequest")).status_code == 202
    await mesh.in_state(job["id"], "cancelled")
    assert await ups.state_of(item) == "CANCELED"

    async def said() -> Any:
        return mesh.said_of(JobCancelled, job["id"])

    await mesh.until(said)


async def test_a_failed_job_is_a_cancelled_work_item_that_says_why_and_a_retry_is_another_one(
    mesh: Mesh, ups: Ups
) -> None:
    series = Series()
    await mesh.settle(series)
    job = await mesh.lung_job(series)
    item = await of_job(mesh, ups, series)
    await mesh.bus.say(JobFailed(job["id"], "assemble", "not-a-volume", "the slices lie in two directions"))
    found = await in_state(mesh, ups, item, "CANCELED")
    (information,) = found["00741002"]["Value"]
    assert information["00741238"]["Value"] == ["the slices lie in two directions"]
    assert information["0074100E"]["Value"][0]["00080100"]["Value"] == ["110521"]
    await mesh.http.post(f"{mesh.addresses[1]}/jobs/{job['id']}/retry")
    again = await of_job(mesh, ups, series)
    assert again != item
    replaced = (await ups.get(again))["00741224"]["Value"][0]
    assert replaced["00081155"]["Value"] == [item]


def run_of(series: Series, model: str, **changed: Any) -> dict[str, Any]:
    """A work item that asks for a run of a model of ours."""
    source = {"0020000D": attribute("UI", series.study), "0020000E": attribute("UI", series.uid)}
    past = {"t00404005": attribute("DT", "2020")}  # by whatever clock the tests run
    asked = {"t00404018": attribute("SQ", coded(model, model, "99PLEXUS")), "t00404021": attribute("SQ", source)}
    return workitem(**(past | asked | changed))


async def test_a_work_item_for_a_model_of_ours_is_a_run_of_it(mesh: Mesh, ups: Ups) -> None:
    series = Series()
    item = await ups.create(run_of(series, "ct-lung", t00741200=attribute("CS", "HIGH")))
    job = await mesh.lung_job(series)
    assert (job["priority"], job["performer"]) == ("HIGH", "mesh")
    await in_state(mesh, ups, item, "IN PROGRESS")
    # The same again is the same job, and another view of it.
    second = await ups.create(run_of(series, "ct-lung"))
    await in_state(mesh, ups, second, "IN PROGRESS")
    assert len(await mesh.jobs(series)) == 1
    await mesh.bus.say(JobCompleted(job["id"], mesh.results))
    for each in (item, second):
        await in_state(mesh, ups, each, "COMPLETED")
    assert len(mesh.said_of(JobRequested, job["id"])) == 1


async def test_a_work_item_that_is_to_begin_later_waits_until_somebody_brings_it_forward(mesh: Mesh, ups: Ups) -> None:
    series = Series()
    item = await ups.create(run_of(series, "ct-lung", t00404005=attribute("DT", "9000")))
    (job,) = await mesh.jobs(series)
    assert (job["state"], job["not_before"]) == ("waiting", "9000-01-01T00:00:00Z")
    assert (await ups.get(item))["00404005"]["Value"] == ["9000"]
    update = {"00404005": attribute("DT", "2020")}
    assert (await ups.ask("POST", f"/workitems/{item}", update)).status_code == 200
    await mesh.in_state(job["id"], "requested")


async def test_a_run_that_is_asked_for_is_made_once_and_the_models_of_a_series_are_listed(mesh: Mesh) -> None:
    series, address = Series(), mesh.addresses[0]
    able = await mesh.http.get(f"{address}/models", params={"study": series.study, "series": series.uid})
    assert [model["name"] for model in able.json()["models"]] == ["ct-bone", "ct-lung"]
    wish = {"model": "ct-lung", "study": series.study, "series": series.uid, "priority": "HIGH"}
    (job,) = (await mesh.http.post(f"{address}/jobs", json=wish)).json()["jobs"]
    (same,) = (await mesh.http.post(f"{address}/jobs", json=wish)).json()["jobs"]
    (again,) = (await mesh.http.post(f"{address}/jobs", json=wish | {"force": True})).json()["jobs"]
    assert job["id"] == same["id"] != again["id"]
    assert (await mesh.http.post(f"{address}/jobs", json=wish | {"model": "nope"})).status_code == 404
    assert (await mesh.http.post(f"{address}/jobs", json={"model": "ct-lung", "study": "Doe^Jane"})).status_code == 400


async def test_an_external_model_is_performed_by_who_claims_it_and_nothing_of_it_goes_to_the_mesh(
    mesh: Mesh, ups: Ups
) -> None:
    series = Series()
    wish = {"model": "ct-outside", "study": series.study, "series": series.uid}
    (job,) = (await mesh.http.post(f"{mesh.addresses[0]}/jobs", json=wish)).json()["jobs"]
    item = await of_job(mesh, ups, series, "ct-outside")
    assert (job["state"], await ups.state_of(item)) == ("waiting", "SCHEDULED")
    transaction = await ups.claim(item)
    await mesh.in_state(job["id"], "claimed")
    await ups.ask("POST", f"/workitems/{item}?transaction-uid={transaction}", performed())
    assert (await ups.ask("PUT", f"/workitems/{item}/state", state("COMPLETED", transaction))).status_code == 200
    ended = await mesh.in_state(job["id"], "completed")
    assert [result["sop_instance_uid"] for result in ended["results"]] == ["1.2.3.4"]
    assert mesh.said_of(JobRequested, job["id"]) == []

    async def completed() -> Any:
        return mesh.said_of(JobCompleted, job["id"])

    (told_of_it,) = await mesh.until(completed)  # who sends results on hears of these as well
    assert [(result.kind, result.sop_instance_uid) for result in told_of_it.results] == [("SR", "1.2.3.4")]


async def test_every_access_to_a_work_item_is_on_record(mesh: Mesh, ups: Ups) -> None:
    made, _ = await at(ups, "CANCELED")
    await ups.get(made)

    async def recorded() -> Any:
        facts = [AuditRecorded.from_bytes(m.data) for m in mesh.said if m.subject == AuditRecorded.subject]
        details = [fact.detail for fact in facts if fact.sop_instance_uid == made]
        return details if "workitem" in details else None

    assert await mesh.until(recorded) == [
        *("workitem-created", "workitem-in-progress", "workitem-updated", "workitem-canceled", "workitem"),
    ]


async def test_who_has_not_the_key_or_comes_too_late_is_on_record(mesh: Mesh, ups: Ups) -> None:
    made, transaction = await at(ups, "IN PROGRESS")
    await ups.ask("PUT", f"/workitems/{made}/state", state("COMPLETED", uid()))
    await ups.ask("PUT", f"/workitems/{made}/state", state("IN PROGRESS", transaction))

    async def refused() -> Any:
        facts = [AuditRecorded.from_bytes(m.data) for m in mesh.said if m.subject == AuditRecorded.subject]
        found = {
            (fact.detail, fact.reason_code)
            for fact in facts
            if fact.sop_instance_uid == made and fact.outcome == "refused"
        }
        return found if len(found) == 2 else None

    assert await mesh.until(refused) == {("workitem-change-state", "C301"), ("workitem-change-state", "C302")}
