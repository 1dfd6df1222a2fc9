"""The HTTP edge: QIDO-RS and WADO-RS (PS3.18 10.4, 10.6)."""

from __future__ import annotations

from fastapi import APIRouter

from services.archive.api import qido, wado
from services.archive.ports import Documents, Events, Index
from services.archive.sending import Sender


def router(
    *,
    index: Index,
    documents: Documents,
    events: Events,
    sender: Sender,
    max_results: int,
    public_url: str = "",
    root: str = "/dicom-web",
) -> APIRouter:
    """All routes under `root`.

    Args:
        max_results: at most so many answers to a query.
        public_url: address of the edge, for links to clients whose Host header has no port.
    """
    routes = APIRouter()
    routes.include_router(
        qido.router(index=index, events=events, max_results=max_results, public_url=public_url, root=root)
    )
    routes.include_router(
        wado.router(index=index, documents=documents, events=events, sender=sender, public_url=public_url, root=root)
    )
    return routes
