"""A client of UPS-RS on httpx and websockets alone: it knows the standard, and nothing of the mesh."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
from websockets.asyncio.client import ClientConnection, connect

JSON = "application/dicom+json"
GLOBAL = "1.2.840.10008.5.1.4.34.5"
FILTERED = "1.2.840.10008.5.1.4.34.5.1"

DataSet = dict[str, Any]


def uid() -> str:
    return f"2.25.{uuid4().int}"


def attribute(vr: str, *values: Any) -> DataSet:
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def coded(value: str, meaning: str, scheme: str = "99TEST") -> DataSet:
    return {
        "00080100": attribute("SH", value),
        "00080102": attribute("SH", scheme),
        "00080104": attribute("LO", meaning),
    }


def workitem(**changed: DataSet | None) -> DataSet:
    """What PS3.4 Table CC.2.5-3 asks for to create; `t` before a tag in `changed`, None to leave one out."""
    empty = {
        "UI": ("00081195",),
        "LO": ("00741202", "00100020", "00100021", "00380010", "00081080"),
        "SQ": (
            *("00741210", "00404025", "00404026", "00404027", "00404021", "00100024", "00101002", "00380014"),
            *("00081084", "0040A370", "00741002", "00741216"),
        ),
        "LT": ("00400400",),
        "DA": ("00100030",),
        "CS": ("00100040",),
    }
    given: DataSet = {tag: attribute(vr) for vr, tags in empty.items() for tag in tags}
    given |= {
        "00100010": attribute("PN", {"Alphabetic": "Doe^Jane"}),
        "00404005": attribute("DT", "20261121120000"),
        "00404018": attribute("SQ", coded("MEASURE", "Measure")),
        "00404041": attribute("CS", "READY"),
        "00741000": attribute("CS", "SCHEDULED"),
        "00741200": attribute("CS", "MEDIUM"),
        "00741204": attribute("LO", "Measure it"),
    }
    given |= {tag.removeprefix("t"): element for tag, element in changed.items() if element is not None}
    return {tag: element for tag, element in given.items() if changed.get(f"t{tag}", element) is not None}


def performed() -> DataSet:
    """What the final state asks for."""
    done = {
        "00404028": attribute("SQ", coded("STATION", "Station")),
        "00404050": attribute("DT", "20261121120001"),
        "00404051": attribute("DT", "20261121120002"),
        "00404019": attribute("SQ", coded("MEASURE", "Measure")),
        "00404033": attribute(
            "SQ",
            {
                "0020000D": attribute("UI", "1.2"),
                "0020000E": attribute("UI", "1.2.3"),
                "00081199": attribute(
                    "SQ",
                    {
                        "00081150": attribute("UI", "1.2.840.10008.5.1.4.1.1.88.33"),
                        "00081155": attribute("UI", "1.2.3.4"),
                    },
                ),
            },
        ),
    }
    return {"00741216": attribute("SQ", done)}


def discontinued() -> DataSet:
    return {
        "00741002": attribute("SQ", {"0074100E": attribute("SQ", coded("110513", "Discontinued", "DCM"))}),
    }


def state(value: str, transaction: str = "") -> DataSet:
    given = {"00741000": attribute("CS", value)}
    return given | ({"00081195": attribute("UI", transaction)} if transaction else {})


class Ups:
    """Asks one server."""

    def __init__(self, http: httpx.AsyncClient, address: str) -> None:
        self.http = http
        self.address = address

    async def ask(self, method: str, path: str, given: DataSet | None = None, **headers: str) -> httpx.Response:
        body = None if given is None else json.dumps([given])
        headers = {"content-type": JSON, "accept": JSON} | {k.replace("_", "-"): v for k, v in headers.items()}
        return await self.http.request(method, f"{self.address}{path}", content=body, headers=headers)

    async def create(self, given: DataSet | None = None) -> str:
        made = uid()
        reply = await self.ask("POST", f"/workitems?{made}", given or workitem())
        assert reply.status_code == 201, reply.text
        return made

    async def claim(self, item: str) -> str:
        transaction = uid()
        reply = await self.ask("PUT", f"/workitems/{item}/state", state("IN PROGRESS", transaction))
        assert reply.status_code == 200, reply.text
        return transaction

    async def get(self, item: str) -> DataSet:
        reply = await self.ask("GET", f"/workitems/{item}")
        assert reply.status_code == 200, reply.text
        (found,) = reply.json()
        return dict(found)

    async def state_of(self, item: str) -> str:
        return str((await self.get(item))["00741000"]["Value"][0])

    @asynccontextmanager
    async def channel(self, ae_title: str) -> AsyncIterator[ClientConnection]:
        address = self.address.replace("http", "ws", 1)
        async with connect(f"{address}/ws/subscribers/{ae_title}", subprotocols=["dicom"]) as socket:  # type: ignore[list-item]  # a NewType of str
            yield socket


async def event(socket: ClientConnection) -> DataSet:
    """The next event report."""
    text = await socket.recv()
    assert isinstance(text, str)
    found: DataSet = json.loads(text)
    assert found["00000002"]["Value"] == ["1.2.840.10008.5.1.4.34.6.1"]  # PS3.4 CC.2.4.3
    assert "00081195" not in found
    return found


def told(report: DataSet) -> tuple[str, int, Any]:
    """Of which work item, the type of the event, and the state or the progress."""
    progress = report.get("00741002", {}).get("Value", [{}])[0].get("00741004", {}).get("Value", [None])[0]
    return (
        report["00001000"]["Value"][0],
        report["00001002"]["Value"][0],
        report.get("00741000", {}).get("Value", [progress])[0],
    )
