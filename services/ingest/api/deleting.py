"""DELETE of studies, series and instances: not of PS3.18, but what archives offer under its paths."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from services.chassis import http
from services.chassis.log import Log
from services.dicom import uids
from services.ingest.errors import IllegalUid
from services.ingest.handlers import erasing
from services.ingest.model import Target
from services.ingest.ports import Custody, Ledger


def router(*, custody: Custody, ledger: Ledger, log: Log, allowed: bool, root: str = "/dicom-web") -> APIRouter:
    """The routes under `root`; without `allowed` each is refused, and the refusal recorded."""
    routes = APIRouter()
    study = f"{root}/studies/{{study}}"
    series = f"{study}/series/{{series}}"

    @routes.delete(study)
    @routes.delete(series)
    @routes.delete(f"{series}/instances/{{instance}}")
    async def delete(request: Request) -> Response:
        named = [request.path_params.get(level, "") for level in ("study", "series", "instance")]
        if not all(uids.is_legal(uid) for uid in named if uid):
            raise IllegalUid
        await erasing.erase(
            Target(*named),
            allowed=allowed,
            principal=http.caller(request),
            custody=custody,
            ledger=ledger,
            log=log,
        )
        return Response(status_code=204)

    return routes
