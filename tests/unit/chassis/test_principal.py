"""The caller goes from service to service."""

from __future__ import annotations

import dataclasses

import pytest

from services.chassis.principal import Principal, ascii_only


@pytest.mark.parametrize(
    "principal",
    [
        Principal.local(),
        Principal.local(source="192.0.2.1"),
        Principal.service("encode"),
        Principal("CT 1", institution="Ward 3", proved_by="ae-title", source="192.0.2.7"),
    ],
)
def test_a_principal_comes_back_from_metadata(principal: Principal) -> None:
    assert Principal.from_metadata(principal.to_metadata()) == principal


def test_what_metadata_cannot_carry_is_replaced_and_never_breaks_a_call() -> None:
    principal = Principal("Jürgen\r\nplexus-subject: root", institution="病院")
    found = Principal.from_metadata(principal.to_metadata())
    assert found.subject == "J?rgen??plexus-subject: root"
    assert found.institution == "??"
    assert all(value == ascii_only(value) for _, value in principal.to_metadata())


def test_roles_and_scopes_are_not_believed_from_metadata() -> None:
    principal = Principal("x", roles=frozenset({"admin"}), scopes=frozenset({"*"}))
    found = Principal.from_metadata((*principal.to_metadata(), ("plexus-roles", "admin")))
    assert (found.roles, found.scopes) == (frozenset(), frozenset())


def test_a_call_that_says_nothing_is_local() -> None:
    assert Principal.from_metadata(()) == Principal.local()


def test_a_principal_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Principal.local().subject = "root"  # type: ignore[misc]
