"""An AI performer outside the mesh: claims work items by UPS-RS, reads by WADO-RS, stores by STOW-RS, completes.

    python examples/performer/performer.py http://127.0.0.1:8080 ct-brightness [--once]

It knows nothing of the mesh but the standard: PS3.18 chapters 10 and 11, PS3.4 CC.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from datetime import UTC, datetime
from email import message_from_bytes
from io import BytesIO
from typing import Any
from uuid import uuid4

import highdicom as hd
import httpx
import numpy as np
from highdicom.sr import CodedConcept, Measurement, MeasurementsAndQualitativeEvaluations, TrackingIdentifier
from pydicom import Dataset, dcmread
from pydicom.sr.codedict import codes
from websockets.asyncio.client import connect

AE_TITLE = "BRIGHTNESS"
DATASET = "application/dicom+json"
FILTERED_WORKLIST = "1.2.840.10008.5.1.4.34.5.1"


def element(vr: str, *values: Any) -> dict[str, Any]:
    """An element in DICOM JSON (PS3.18 F.2)."""
    return {"vr": vr, "Value": list(values)} if values else {"vr": vr}


def coded(value: str, scheme: str, meaning: str) -> dict[str, Any]:
    """An item of a code sequence."""
    return {"00080100": element("SH", value), "00080102": element("SH", scheme), "00080104": element("LO", meaning)}


def uid() -> str:
    """A new UID (PS3.5 B.2)."""
    return f"2.25.{uuid4().int}"


def now() -> str:
    """The time, as DT."""
    return datetime.now(UTC).strftime("%Y%m%d%H%M%S")


class NotMine(Exception):
    """Somebody else has the work item."""


class Worklist:
    """A worklist and an archive at one address."""

    def __init__(self, address: str) -> None:
        """Ask at `address`."""
        self._http = httpx.AsyncClient(base_url=address, timeout=120)
        self._events = address.replace("http", "ws", 1) + f"/ws/subscribers/{AE_TITLE}"

    async def scheduled(self, model: str) -> list[dict[str, Any]]:
        """The work items that wait for a performer of `model` (11.9)."""
        asked = {"ProcedureStepState": "SCHEDULED", "ScheduledWorkitemCodeSequence.CodeValue": model}
        answer = await self._http.get("/dicom-web/workitems", params=asked, headers={"accept": DATASET})
        return list(answer.raise_for_status().json()) if answer.content else []

    async def claim(self, item: str) -> str:
        """Take a work item (11.7); the Transaction UID, which is the key to it from now on."""
        transaction = uid()
        answer = await self._state(item, "IN PROGRESS", transaction)
        if answer.status_code in (400, 409):
            raise NotMine
        answer.raise_for_status()
        return transaction

    async def update(self, item: str, transaction: str, changes: dict[str, Any]) -> None:
        """Set attributes (11.6)."""
        path = f"/dicom-web/workitems/{item}"
        answer = await self._http.post(
            path, params={"transaction-uid": transaction}, content=json.dumps([changes]), headers=_JSON
        )
        answer.raise_for_status()

    async def end(self, item: str, state: str, transaction: str) -> None:
        """Complete or cancel (11.7)."""
        (await self._state(item, state, transaction)).raise_for_status()

    async def _state(self, item: str, state: str, transaction: str) -> httpx.Response:
        asked = {"00741000": element("CS", state), "00081195": element("UI", transaction)}
        path = f"/dicom-web/workitems/{item}/state"
        return await self._http.put(path, content=json.dumps([asked]), headers=_JSON)

    async def read(self, url: str) -> list[Dataset]:
        """The instances at a Retrieve URL (10.4)."""
        accept = {"accept": 'multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.1'}
        answer = (await self._http.get(httpx.URL(url).raw_path.decode(), headers=accept)).raise_for_status()
        head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
        parts = message_from_bytes(head + answer.content).get_payload()
        return [dcmread(BytesIO(part.get_payload(decode=True))) for part in parts]  # type: ignore[union-attr]

    async def store(self, instance: Dataset) -> None:
        """Store a result (10.5)."""
        data = BytesIO()
        instance.save_as(data, enforce_file_format=True)
        body = b"--PART\r\nContent-Type: application/dicom\r\n\r\n" + data.getvalue() + b"\r\n--PART--"
        kind = {"content-type": 'multipart/related; type="application/dicom"; boundary=PART'}
        (await self._http.post("/dicom-web/studies", content=body, headers=kind)).raise_for_status()

    async def events(self, model: str) -> Any:
        """What is told of the work items of `model` (11.10, 8.10.4): one event after another."""
        async with connect(self._events) as socket:
            path = f"/dicom-web/workitems/{FILTERED_WORKLIST}/subscribers/{AE_TITLE}"
            filtered = {"filter": f"ScheduledWorkitemCodeSequence.CodeValue={model}"}
            (await self._http.post(path, params=filtered)).raise_for_status()
            yield {}
            async for message in socket:
                yield json.loads(message)


_JSON = {"content-type": DATASET, "accept": DATASET}


async def perform(worklist: Worklist, item: dict[str, Any], unwanted: set[str]) -> str:
    """Claim a work item and do it; the state in which it ends. `unwanted`: work items that somebody wants stopped."""
    name = item["00080018"]["Value"][0]
    transaction, begun = await worklist.claim(name), now()
    try:
        report = await measure(worklist, name, transaction, item, unwanted)
    except Exception as error:  # noqa: BLE001  # whatever it is: the work item must not stay IN PROGRESS for ever
        why = {"0074100E": element("SQ", coded("110513", "DCM", "Discontinued for unspecified reason")),
               "00741238": element("LT", type(error).__name__)}  # fmt: skip
        await worklist.update(name, transaction, {"00741002": element("SQ", why)})
        await worklist.end(name, "CANCELED", transaction)
        return "CANCELED"
    output = {
        "0040E020": element("CS", "DICOM"),
        "0020000D": element("UI", report.StudyInstanceUID),
        "0020000E": element("UI", report.SeriesInstanceUID),
        "00081199": element("SQ", {
            "00081150": element("UI", report.SOPClassUID), "00081155": element("UI", report.SOPInstanceUID),
        }),
    }  # fmt: skip
    performed = {
        "00404028": element("SQ", coded(AE_TITLE, "99EXAMPLE", "Brightness performer")),
        "00404050": element("DT", begun),
        "00404051": element("DT", now()),
        "00404019": item["00404018"],
        "00404033": element("SQ", output),
    }
    await worklist.update(name, transaction, {"00741216": element("SQ", performed)})
    await worklist.end(name, "COMPLETED", transaction)
    return "COMPLETED"


async def measure(
    worklist: Worklist, name: str, transaction: str, item: dict[str, Any], unwanted: set[str]
) -> hd.sr.ComprehensiveSR:
    """The work itself: the mean of all pixels, as a TID 1500 report beside the images."""
    (source,) = item["00404021"]["Value"]
    images = await worklist.read(source["0040E025"]["Value"][0]["00081190"]["Value"][0])
    means = []
    for done, image in enumerate(images, start=1):
        if name in unwanted:
            raise InterruptedError
        means.append(float(np.mean(image.pixel_array)) * float(image.get("RescaleSlope", 1))
                     + float(image.get("RescaleIntercept", 0)))  # fmt: skip
        if done % 25 == 0:
            progress = {"00741004": element("DS", str(100 * done // len(images)))}
            await worklist.update(name, transaction, {"00741002": element("SQ", progress)})
    mean = Measurement(codes.DCM.AttenuationCoefficient, float(np.mean(means)), codes.UCUM.HounsfieldUnit)
    group = MeasurementsAndQualitativeEvaluations(TrackingIdentifier(uid(), "brightness"), measurements=[mean])
    device = hd.sr.DeviceObserverIdentifyingAttributes(uid(), name=AE_TITLE)
    observer = hd.sr.ObserverContext(codes.DCM.Device, device)
    content = hd.sr.MeasurementReport(
        hd.sr.ObservationContext(observer_device_context=observer),
        procedure_reported=CodedConcept("363679005", "SCT", "Imaging procedure"),
        imaging_measurements=[group],
    )
    report = hd.sr.ComprehensiveSR(
        evidence=images, content=content[0], series_instance_uid=uid(), series_number=900, sop_instance_uid=uid(),
        instance_number=1, manufacturer="Example", is_complete=True, is_final=False,
    )  # fmt: skip
    await worklist.store(report)
    return report


async def work(address: str, model: str, *, once: bool) -> None:
    """Take what is there and what comes, one after another."""
    worklist, unwanted = Worklist(address), set[str]()
    wake = asyncio.Event()

    async def listen() -> None:
        async for event in worklist.events(model):
            if event.get("00001002", {}).get("Value") == [2]:  # UPS Cancel Requested
                unwanted.add(event["00001000"]["Value"][0])
            wake.set()

    listening = asyncio.create_task(listen())
    try:
        while True:
            await wake.wait()
            wake.clear()
            for item in await worklist.scheduled(model):
                try:
                    print(item["00080018"]["Value"][0], await perform(worklist, item, unwanted), flush=True)  # noqa: T201
                except NotMine:
                    continue
                if once:
                    return
    finally:
        listening.cancel()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("address", help="where UPS-RS and the archive are, such as http://127.0.0.1:8080")
    parser.add_argument("model", help="the code of the work that this performer does")
    parser.add_argument("--once", action="store_true", help="end after one work item")
    arguments = parser.parse_args()
    asyncio.run(work(arguments.address, arguments.model, once=arguments.once))
