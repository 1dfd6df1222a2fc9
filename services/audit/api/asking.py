"""The log by HTTP: read it, verify it, prove a record, erase what records say."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field

from services.audit.errors import (
    ErasedRecordError,
    InvalidQueryError,
    UnacceptableError,
    UnknownRecordError,
)
from services.audit.forms import dicom, fhir
from services.audit.handlers import asking, erasing, proving, verifying, witnessing
from services.audit.log import AuditLog
from services.audit.model import Entry, Flaw, LogQuery, moment
from services.chassis import http
from services.chassis.faults import Fault, PassingFault
from services.chassis.principal import Principal
from services.contracts.events import Action

Uid = Annotated[str, Query(pattern=r"^[0-9.]{1,64}$")]
Text = Annotated[str, Query(min_length=1, max_length=256)]
Caller = Annotated[Principal, Depends(http.caller)]
Accept = Annotated[str, Header()]

_PARAMETERS = {
    "patient", "study", "series", "job", "user", "action", "record", "destination", "from", "to", "limit", "after",
    "format",
}  # fmt: skip
_JSON = "application/json"
_FORMATS = {"json": _JSON, "dicom": dicom.MEDIA_TYPE, "fhir": fhir.MEDIA_TYPE}


class RecordPage(BaseModel):
    """Records, newest first: `seq`, `leaf`, and the record's own fields. `next`, if not null, is the next `after`."""

    records: list[dict[str, Any]]
    next: int | None


class BreakView(BaseModel):
    """The first record at which the log does not hold, and the last where it is one of several."""

    seq: int
    until: int
    flaw: Flaw
    record_id: str


class VerdictView(BaseModel):
    """What a verification found.

    `intact`: every record, tile and signature holds, and the database refuses changes.
    """

    intact: bool
    since: int
    records: int
    root: str
    broken: BreakView | None
    guarded: bool
    checkpoint: str


class Erasure(BaseModel):
    """What to erase: at least one of them."""

    model_config = ConfigDict(extra="forbid")

    patient: str = Field("", max_length=256)
    study: str = Field("", pattern=r"^[0-9.]{0,64}$")
    user: str = Field("", max_length=256)
    record: str = Field("", max_length=64)


class ErasedView(BaseModel):
    """How many records were erased."""

    erased: int


def status_of(fault: Fault) -> int:
    """The HTTP status of a fault."""
    match fault:
        case PassingFault():
            return 503
        case UnknownRecordError():
            return 404
        case UnacceptableError():
            return 406
        case ErasedRecordError():
            return 410
        case _:
            return 400


def router(log: AuditLog) -> APIRouter:  # routes, one after another
    """The routes."""
    routes = APIRouter(prefix="/audit")

    @routes.get("", response_model=RecordPage)
    async def read_log(
        *,
        request: Request,
        principal: Caller,
        accept: Accept = _JSON,
        patient: Text = "",
        study: Uid = "",
        series: Uid = "",
        job: Annotated[str, Query(pattern=r"^[0-9a-f]{32}$")] = "",
        user: Text = "",
        action: Action | None = None,
        record: Text = "",
        destination: Text = "",
        since: Annotated[str, Query(alias="from")] = "",
        until: Annotated[str, Query(alias="to")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        after: Annotated[int, Query(ge=1, lt=2**63)] = 2**63 - 1,
        form: Annotated[str, Query(alias="format", pattern="^(json|dicom|fhir)$")] = "",
    ) -> Response:
        """The records that are asked for, newest first. Asking is itself recorded, before the answer."""
        if not _PARAMETERS.issuperset(request.query_params):
            # One that is not known would silently widen what is shown.
            raise InvalidQueryError("a parameter of the query is not known")
        query = LogQuery(
            patient_id=patient,
            study_instance_uid=study,
            series_instance_uid=series,
            job_id=job,
            caller=user,
            action=action or "",
            record_id=record,
            destination=destination,
            since=_moment(since),
            until=_moment(until),
            after=after,
            limit=limit,
        )
        media = _media(form, accept)
        page = await asking.read(
            query, principal=principal, ledger=log.ledger, patients=log.patients, named=media != _JSON
        )
        following = {"Link": f'<{request.url.include_query_params(after=page.next)}>; rel="next"'} if page.next else {}
        if media == dicom.MEDIA_TYPE:
            return Response(dicom.messages(page.entries, page.patients), media_type=media, headers=following)
        if media == fhir.MEDIA_TYPE:
            return JSONResponse(fhir.bundle(page.entries, page.patients), media_type=media, headers=following)
        return JSONResponse({"records": [_view(entry) for entry in page.entries], "next": page.next})

    @routes.get("/records/{record_id}")
    async def read_record(
        record_id: str,
        principal: Caller,
        accept: Accept = _JSON,
        form: Annotated[str, Query(alias="format", pattern="^(json|dicom|fhir)$")] = "",
    ) -> Response:
        """One record. That it was read is itself recorded."""
        media = _media(form, accept)
        entry, names = await asking.read_one(
            record_id, principal=principal, ledger=log.ledger, patients=log.patients, named=media != _JSON
        )
        if media == dicom.MEDIA_TYPE and (message := dicom.message(entry, names)):
            return Response(message, media_type=media)
        if media == fhir.MEDIA_TYPE and (event := fhir.audit_event(entry, names)):
            return JSONResponse(event, media_type=media)
        if media != _JSON:
            raise ErasedRecordError
        return JSONResponse(_view(entry))

    @routes.get("/records/{record_id}/proof")
    async def prove_record(record_id: str, principal: Caller) -> PlainTextResponse:
        """A proof that the record is in the log (C2SP tlog-proof), which verifies offline. It holds the record."""
        return PlainTextResponse(
            await proving.prove(record_id, principal=principal, ledger=log.ledger, folder=log.folder, signer=log.signer)
        )

    @routes.get("/verify")
    async def verify_log(principal: Caller) -> VerdictView:
        """Look at every record, tile and signature, and name the first record at which something does not hold."""
        return _verdict(await verifying.verify(**_whole(log, principal)))

    @routes.post("/verify")
    async def verify_since(principal: Caller, checkpoint: Annotated[str, Body(media_type="text/plain")]) -> VerdictView:
        """The same of what came after a checkpoint that this log has signed, and that it still holds."""
        return _verdict(await verifying.verify(**_whole(log, principal), since=checkpoint))

    @routes.post("/erase")
    async def erase_records(erasure: Erasure, principal: Caller) -> ErasedView:
        """Erase what records say. The tree stays as it is, and a record of its own tells of each erasure."""
        query = LogQuery(
            patient_id=erasure.patient,
            study_instance_uid=erasure.study,
            caller=erasure.user,
            record_id=erasure.record,
        )
        if query == LogQuery():
            raise InvalidQueryError("an erasure names a patient, a study, a user or a record")
        count = await erasing.erase(query, principal=principal, ledger=log.ledger, patients=log.patients)
        return ErasedView(erased=count)

    @routes.post("/cosignatures", status_code=204)
    async def take_in_cosignature(checkpoint: Annotated[str, Body(media_type="text/plain")]) -> Response:
        """A checkpoint of this log that a witness has signed; proofs carry it from now on."""
        await witnessing.take_in(checkpoint, ledger=log.ledger, signer=log.signer, witnesses=log.witnesses)
        return Response(status_code=204)

    @routes.get("/key")
    async def tell_key() -> PlainTextResponse:
        """The log's verifier key (C2SP signed-note). Who verifies gets it once, by a way that can be trusted."""
        return PlainTextResponse(f"{log.signer.key}\n")

    return routes


def _whole(log: AuditLog, principal: Principal) -> dict[str, Any]:
    return {"principal": principal, "ledger": log.ledger, "folder": log.folder, "signer": log.signer}


def _verdict(verdict: verifying.Verdict) -> VerdictView:
    broken = None
    if found := verdict.broken:
        broken = BreakView(seq=found.seq, until=found.until or found.seq, flaw=found.flaw, record_id=verdict.record_id)
    return VerdictView(
        intact=broken is None and verdict.guarded,
        since=verdict.since,
        records=verdict.records,
        root=verdict.root.hex(),
        broken=broken,
        guarded=verdict.guarded,
        checkpoint=verdict.checkpoint,
    )


def _media(form: str, accept: str) -> str:
    """The form that is asked for, by name or by media type; JSON where any will do."""
    if form:
        return _FORMATS[form]
    for wanted in accept.lower().split(","):
        media = wanted.partition(";")[0].strip()
        if media in _FORMATS.values():
            return media
        if media == "application/fhir+xml":
            continue
        if media in ("*/*", "application/*"):
            return _JSON
        if media in ("application/xml", "text/xml"):
            return dicom.MEDIA_TYPE
    raise UnacceptableError


def _moment(text: str) -> datetime | None:
    found = moment(text) if text else None
    if text and not found:
        raise InvalidQueryError("from and to are times as RFC 3339 writes them")
    return found


def _view(entry: Entry) -> dict[str, Any]:
    place = {"seq": entry.seq, "leaf": entry.leaf.hex()}
    if entry.record is None:
        return {**place, "record_id": entry.index.record_id, "erased": True}
    return {**place, **json.loads(entry.record)}
