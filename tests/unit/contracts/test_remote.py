"""The block `server` of a card: where a model of somebody else's is served, and nothing that opens a door."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from services.contracts.card import CardError, ModelCard
from services.contracts.remote import Protocol, remote_of
from services.worklist.model import Performer
from services.worklist.ruling import performer_of
from tests.unit.worklist.samples import card

SERVER = {"address": "models.example:8001"}


def external(**server: Any) -> ModelCard:
    return ModelCard.from_mapping({**card().source, "kind": "external", "server": {**SERVER, **server}})


def test_what_a_card_leaves_out_is_the_careful_choice() -> None:
    remote = remote_of(external())
    assert remote is not None
    assert (remote.protocol, remote.host, remote.model, remote.tls, remote.attempts) == (
        Protocol.GRPC,
        "models.example",
        "ct-lung",
        True,
        3,
    )
    assert (remote.name_of("volume"), remote.name_of("spacing")) == ("volume", "spacing")


def test_tensors_have_their_names_and_geometry_need_not_be_sent() -> None:
    remote = remote_of(external(tensors={"volume": "input__0", "spacing": None, "labels": "output__0"}))
    assert remote is not None
    assert [remote.name_of(name) for name in ("volume", "spacing", "labels")] == ["input__0", "", "output__0"]


def test_the_mesh_runs_what_names_a_server_and_leaves_the_rest_to_a_performer_outside() -> None:
    assert performer_of(external()) is Performer.MESH
    assert performer_of(ModelCard.from_mapping({**card().source, "kind": "external"})) is Performer.OUTSIDE
    assert remote_of(card()) is None


@pytest.mark.parametrize(
    ("server", "why"),
    [
        ({"address": "http://models.example"}, "host:port is expected"),
        ({"address": "models.example:99999"}, "host:port is expected"),
        ({"address": "models.example@evil:80"}, "host:port is expected"),
        ({"token": "secret"}, "keys that are not known: token"),
        ({"protocol": "soap"}, "grpc or http"),
        ({"tls": "no"}, "true or false"),
        ({"attempts": 0}, "1 to 5"),
        ({"attempts": True}, "1 to 5"),
        ({"model": "../admin"}, "server.model"),
        ({"model_version": ""}, "server.model_version"),
        ({"tensors": {"nosuch": "x"}}, "a tensor that the card has not"),
        ({"tensors": {"volume": None}}, "server.tensors.volume"),
        ({"tensors": ["volume"]}, "server.tensors"),
    ],
)
def test_a_server_that_cannot_be_is_refused(server: Mapping[str, Any], why: str) -> None:
    with pytest.raises(CardError, match=why):
        remote_of(external(**server))


def test_only_a_card_of_kind_external_names_a_server() -> None:
    with pytest.raises(CardError, match="is for kind external"):
        remote_of(ModelCard.from_mapping({**card().source, "server": SERVER}))
