"""What the catalogue answers by gRPC: what is in use."""

from __future__ import annotations

import json

import grpc.aio

from services.catalogue.ports import Models
from services.contracts import calls


class Active(calls.CatalogueServicer):
    """`plexus.catalogue.v1.Catalogue`."""

    def __init__(self, models: Models) -> None:
        self._models = models

    async def ListActive(  # noqa: N802  # the name of the call
        self,
        request: calls.ListActiveRequest,
        context: grpc.aio.ServicerContext[calls.ListActiveRequest, calls.ActiveModels],
    ) -> calls.ActiveModels:
        """The active version of every model, by name, and what runs beside it."""
        active = ((model, model.version(model.active)) for model in await self._models.list())
        return calls.ActiveModels(
            models=[
                calls.ActiveModel(
                    name=one.name, version=one.version, card=json.dumps(one.card).encode(), shadow=model.shadow
                )
                for model, one in active
                if one is not None
            ]
        )
