"""States of versions: what may follow on what."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from services.catalogue import model as rules
from services.catalogue.errors import PackageRefusedError, VersionConflictError
from services.catalogue.model import Model, State, Version
from services.contracts.card import ModelCard
from tests.unit.contracts.test_card import CARD

VERSION = Version("a-model", "1.0.0", "d1", State.DRAFT, CARD, "local", datetime(2026, 1, 1, tzinfo=UTC))


def of(state: State, version: str = "1.0.0") -> Version:
    return replace(VERSION, state=state, version=version)


def test_a_draft_that_comes_again_with_other_bytes_is_replaced() -> None:
    assert rules.replaced(VERSION, replace(VERSION, digest="d2")).digest == "d2"


def test_what_was_checked_and_comes_with_other_bytes_is_a_draft_again() -> None:
    assert rules.replaced(of(State.VALIDATED), replace(VERSION, digest="d2")).state is State.DRAFT


@pytest.mark.parametrize("state", [State.PUBLISHED, State.RETIRED])
def test_what_was_published_keeps_its_bytes(state: State) -> None:
    there = of(state)
    assert rules.replaced(there, VERSION) is there  # the same bytes
    with pytest.raises(VersionConflictError, match="raise the card's version"):
        rules.replaced(there, replace(VERSION, digest="d2"))


def test_only_a_draft_that_passes_is_validated() -> None:
    assert rules.checked(VERSION, {"passed": True}, passed=True).state is State.VALIDATED
    assert rules.checked(VERSION, {"passed": False}, passed=False).state is State.DRAFT
    assert rules.checked(of(State.PUBLISHED), {}, passed=False).state is State.PUBLISHED


def test_only_what_is_validated_is_published_and_only_what_is_published_serves() -> None:
    assert rules.published(of(State.VALIDATED)).state is State.PUBLISHED
    assert rules.published(of(State.PUBLISHED)) == of(State.PUBLISHED)
    for state in (State.DRAFT, State.RETIRED):
        with pytest.raises(VersionConflictError):
            rules.published(of(state))
    for state in (State.DRAFT, State.VALIDATED, State.RETIRED):
        with pytest.raises(VersionConflictError, match="only a published version"):
            rules.may_serve(of(state))


def test_the_active_version_cannot_be_retired_and_a_retired_one_is_not_kept_loaded() -> None:
    model = Model("a-model", (of(State.PUBLISHED, "2.0.0"), of(State.PUBLISHED)), active="2.0.0", previous="1.0.0")
    assert model.serving == ("2.0.0", "1.0.0")
    with pytest.raises(VersionConflictError, match="activate another"):
        rules.retired(model, model.versions[0])
    gone = rules.retired(model, model.versions[1])
    assert replace(model, versions=(model.versions[0], gone)).serving == ("2.0.0",)


@pytest.mark.parametrize(
    ("name", "version"),
    [("CT", "1.0"), ("a/b", "1.0"), ("-a", "1.0"), ("..", "1.0"), ("a", "v1"), ("a", "1-2"), ("a", "../1"), ("a", "")],
)
def test_names_that_could_lead_out_of_their_folder_are_refused(name: str, version: str) -> None:
    with pytest.raises(PackageRefusedError, match="is not of the form"):
        rules.check_card(ModelCard.from_mapping(CARD | {"name": name, "version": version}))


def test_no_two_versions_are_served_under_one_name() -> None:
    rules.check_card(ModelCard.from_mapping(CARD | {"name": "a-1", "version": "0.1"}))
    with pytest.raises(PackageRefusedError):
        rules.check_card(ModelCard.from_mapping(CARD | {"name": "a", "version": "1-0.1"}))


@pytest.mark.parametrize("rule", ["series.Modality ==", "series.Modalty == 'CT'", "import os"])
def test_a_rule_that_could_never_select_is_refused_when_it_comes(rule: str) -> None:
    with pytest.raises(PackageRefusedError, match="selection rule cannot be used"):
        rules.check_card(ModelCard.from_mapping(CARD | {"selection": rule}))
