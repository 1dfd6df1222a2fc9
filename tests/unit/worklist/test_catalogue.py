"""What is in use, as the worklist learns it from a catalogue that answers by gRPC."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from services.chassis.faults import PassingFault
from services.contracts import calls
from services.contracts.card import ModelCard
from services.worklist.adapters.catalogue import GrpcCatalogue
from tests.packages import shipped_cards
from tests.unit.worklist.samples import MemoryJournal, card


class FixedCatalogue(calls.CatalogueServicer):
    """A catalogue of what it is told."""

    def __init__(self, *cards: ModelCard) -> None:
        self.cards = list(cards)
        self.raw: list[bytes] = []

    async def ListActive(self, request: Any, context: Any) -> calls.ActiveModels:
        cards = [(one.name, one.version, json.dumps(dict(one.source)).encode()) for one in self.cards]
        cards += [("raw", "1", raw) for raw in self.raw]
        return calls.ActiveModels(
            models=[calls.ActiveModel(name=name, version=version, card=text) for name, version, text in cards]
        )


@asynccontextmanager
async def asked(catalogue: FixedCatalogue) -> AsyncIterator[tuple[GrpcCatalogue, MemoryJournal]]:
    server = grpc.aio.server()
    calls.add_CatalogueServicer_to_server(catalogue, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    journal = MemoryJournal()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield GrpcCatalogue(channel, journal, deadline_seconds=5), journal
    await server.stop(None)


async def test_the_models_in_use_come_with_their_rules() -> None:
    catalogue = FixedCatalogue(card("ct-bone"), card("ct-lung", selection='series.Modality == "CT"'))
    async with asked(catalogue) as (worklist, _):
        found = await worklist.candidates()
        assert [candidate.card.name for candidate in found] == ["ct-bone", "ct-lung"]
        assert found[1].rule.selects({"00080060": {"vr": "CS", "Value": ["CT"]}}, 1)
        assert (await worklist.candidates())[1].rule is found[1].rule  # compiled once
        catalogue.cards = [card("ct-lung", version="2.0.0")]
        (newer,) = await worklist.candidates()
        assert newer.card.version == "2.0.0"


async def test_the_models_that_come_with_plexus_select_nothing_of_which_nothing_is_known() -> None:
    async with asked(FixedCatalogue(*shipped_cards().values())) as (worklist, _):
        found = await worklist.candidates()
        assert {candidate.card.name for candidate in found} >= {"ct-lung", "ct-bone"}
        for candidate in found:
            assert not candidate.rule.selects({}, 0), candidate.card.name


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"selection": "series.Modality =="}, "no CEL expression"),
        ({"selection": "series.Modalty == ''"}, "series.Modalty"),
    ],
)
async def test_a_model_that_cannot_be_used_is_named_and_does_not_stop_the_others(
    changes: dict[str, str], why: str
) -> None:
    async with asked(FixedCatalogue(card("bad", **changes), card("good"))) as (worklist, journal):
        assert [candidate.card.name for candidate in await worklist.candidates()] == ["good"]
    ((event, fields),) = [(event, fields) for event, fields in journal.lines if event == "model.unusable"]
    assert (event, fields["model"]) == ("model.unusable", "bad")
    assert why in str(fields["reason"])


@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"name": "x"}'])
async def test_a_card_that_is_none_is_passed_over(raw: bytes) -> None:
    catalogue = FixedCatalogue(card("good"))
    catalogue.raw = [raw]
    async with asked(catalogue) as (worklist, _):
        assert [candidate.card.name for candidate in await worklist.candidates()] == ["good"]


async def test_a_catalogue_that_is_away_is_a_passing_fault(tmp_path: Path) -> None:
    async with grpc.aio.insecure_channel(f"unix:{tmp_path}/nobody") as channel:
        with pytest.raises(PassingFault):
            await GrpcCatalogue(channel, MemoryJournal(), deadline_seconds=0.2).candidates()
