"""The HTTP edge: QIDO-RS and WADO-RS (PS3.18 10.4, 10.6)."""

from __future__ import annotations

from collections.abc import Sequence

from fastapi import APIRouter

from services.archive.api import capabilities, metadata, qido
from services.archive.api.wado import Wado
from services.archive.handlers.recording import Accesses
from services.archive.ports import Answers, Documents, Events, Index


def router(
    *,
    index: Index,
    documents: Documents,
    answers: Answers,
    events: Events,
    accesses: Accesses,
    wado: Wado,
    others: Sequence[APIRouter] = (),
    max_results: int,
    public_url: str = "",
    root: str = "/dicom-web",
) -> APIRouter:
    """All routes under `root`.

    Args:
        wado: instances and their parts.
        others: rendered resources, the change feed.
        max_results: at most so many answers to a query.
        public_url: address of the edge, for links to clients whose Host header has no port.
    """
    routes = APIRouter()
    for each in (
        qido.router(index=index, events=events, max_results=max_results, public_url=public_url, root=root),
        metadata.router(
            index=index, documents=documents, answers=answers, accesses=accesses, public_url=public_url, root=root
        ),
        wado.router(),
        *others,
        capabilities.router(public_url=public_url, root=root),
    ):
        routes.include_router(each)
    return routes
