"""The catalogue, asked by gRPC: which version of which model is in use, with its rule compiled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

import grpc.aio

from services.chassis import rpc
from services.chassis.principal import Principal
from services.contracts.calls import ActiveModel, CatalogueStub, ListActiveRequest
from services.contracts.card import CardError, ModelCard
from services.selection.cel import compile_rule
from services.selection.errors import RuleError
from services.worklist.ports import Candidate, Journal

_DEADLINE_SECONDS = 30
"""A catalogue that restarts is waited for."""


class GrpcCatalogue:
    """A `services.worklist.ports.Catalogue`."""

    def __init__(
        self, channel: grpc.aio.Channel, journal: Journal, *, deadline_seconds: float = _DEADLINE_SECONDS
    ) -> None:
        self._deadline = deadline_seconds
        self._journal = journal
        self._stub = CatalogueStub(channel)  # type: ignore[no-untyped-call]  # generated code has no types
        self._compiled: dict[bytes, Candidate | None] = {}

    async def candidates(self) -> Sequence[Candidate]:
        """The models in use, by name; see the port."""
        try:
            with rpc.call("Catalogue/ListActive", Principal.service("worklist")) as metadata:
                reply = await self._stub.ListActive(
                    ListActiveRequest(), metadata=metadata, timeout=self._deadline, wait_for_ready=True
                )
        except grpc.aio.AioRpcError as error:
            raise rpc.fault_of(error) from None
        # Compiling a rule takes milliseconds, and cards hardly ever change. What is not in use any more is let go.
        self._compiled = {
            model.card: self._compiled[model.card] if model.card in self._compiled else self._candidate(model)
            for model in reply.models
        }
        found = ((self._compiled[model.card], model.shadow) for model in reply.models)
        return [replace(candidate, shadow=shadow) for candidate, shadow in found if candidate is not None]

    def _candidate(self, model: ActiveModel) -> Candidate | None:
        try:
            card = ModelCard.from_mapping(json.loads(model.card))
            more = {one.name: compile_rule(one.selection) for one in card.more_inputs}
            return Candidate(card, compile_rule(card.selection), more=more)
        except (ValueError, CardError, RuleError) as error:
            # One model that cannot be used must not stop the others: its check should have told its author.
            self._journal.warning("model.unusable", model=model.name, version=model.version, reason=str(error)[:300])
            return None
