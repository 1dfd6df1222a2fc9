"""The HTTP edge: QIDO-RS and WADO-RS (PS3.18 10.4, 10.6)."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter

from services.archive.api import capabilities
from services.archive.api.metadata import Metadata
from services.archive.api.qido import Qido
from services.archive.api.wado import Wado


def router(
    *,
    qido: Qido,
    metadata: Metadata,
    wado: Wado,
    others: Sequence[APIRouter] = (),
    public_url: str = "",
    root: str = "/dicom-web",
) -> APIRouter:
    """All routes under `root`.

    Args:
        qido: searches.
        metadata: what instances say of themselves.
        wado: instances and their parts.
        others: rendered resources, the change feed.
        public_url: address of the edge, for links to clients whose Host header has no port.
    """
    routes = APIRouter()
    for each in (
        qido.router(),
        metadata.router(),
        wado.router(),
        *others,
        capabilities.router(public_url=public_url, root=root),
    ):
        routes.include_router(each)
    return routes
