"""Versions of models and their states: frozen values and pure rules.

draft ──checked──▶ validated ──published──▶ published ──retired──▶ retired
  └────────────────────────┴─ may be uploaded again, and is a draft then; what is published keeps its bytes

One published version of a model is active: new jobs run on it. The one before it stays loaded, so that going back needs
no time at all. Another version, validated or published, may run in shadow: beside the active one, on the same input,
without a result. Where another version becomes active, or the shadow is retired, that ends.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.catalogue.errors import PackageRefusedError, VersionConflictError
from services.contracts.card import CardError, Finding, Label, Measurement, ModelCard, PackageKind
from services.contracts.remote import remote_of
from services.selection.cel import compile_rule
from services.selection.errors import RuleError

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_VERSION = re.compile(r"[0-9]+(\.[0-9a-z]+){0,3}")
"""No hyphen: name and version, joined by one, can be told apart again."""
_LENGTH = 64


class State(StrEnum):
    """Where a version is."""

    DRAFT = "draft"
    VALIDATED = "validated"
    PUBLISHED = "published"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a model.

    Attributes:
        digest: of the package: SHA-256 over the names and the bytes of its files.
        card: the model card as it was read.
        owner: who brought it; `plexus` for what is shipped.
        report: of the last check, if there was one.
    """

    name: str
    version: str
    digest: str
    state: State
    card: Mapping[str, Any]
    owner: str
    made_at: datetime
    report: Mapping[str, Any] | None = None

    @property
    def key(self) -> tuple[str, str]:
        """Name and version."""
        return self.name, self.version

    def __str__(self) -> str:
        """Name and version, for people."""
        return f"{self.name} {self.version}"


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was done to a model, and by whom."""

    at: datetime
    name: str
    version: str
    what: str
    who: str


@dataclass(frozen=True, slots=True)
class Model:
    """All versions of a model, newest first.

    Attributes:
        active: the version that new jobs run on, or empty.
        previous: the one that was active before, or empty: where `rollback` leads.
        shadow: the version that runs beside the active one, without results, or empty.
    """

    name: str
    versions: tuple[Version, ...] = ()
    active: str = ""
    previous: str = ""
    shadow: str = ""

    def version(self, version: str) -> Version | None:
        """The version of this name."""
        return next((one for one in self.versions if one.version == version), None)

    @property
    def serving(self) -> tuple[str, ...]:
        """The versions that Triton should have loaded: the active one, the one to go back to, and the shadow."""
        wanted = dict.fromkeys(name for name in (self.active, self.previous) if name)
        found = [one for name in wanted if (one := self.version(name)) and one.state is State.PUBLISHED]
        beside = self.version(self.shadow)
        if beside is not None and beside not in found:
            found.append(beside)
        return tuple(one.version for one in found)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check says of one test case.

    Attributes:
        figures: such as the Dice coefficient of a label; for people.
        problems: why it did not pass, in sentences.
        picture: name of a PNG beside the report, or empty.
    """

    case: str
    seconds: float
    figures: Mapping[str, float] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    picture: str = ""

    @property
    def passed(self) -> bool:
        """Whether there was nothing to complain about."""
        return not self.problems


def check_card(card: ModelCard) -> None:
    """A model's name and version are used as names of folders, of Triton's models and in addresses; its rule is CEL.

    Raises:
        PackageRefusedError: one of them cannot be used.
    """
    if len(card.name) > _LENGTH or not _NAME.fullmatch(card.name):
        raise PackageRefusedError("the card's name is not of the form ct-lung: small letters, digits and hyphens")
    if len(card.version) > _LENGTH or not _VERSION.fullmatch(card.version):
        raise PackageRefusedError("the card's version is not of the form 1.0.0: numbers with points between")
    try:
        compile_rule(card.selection)
    except RuleError as error:
        raise PackageRefusedError(f"the card's selection rule cannot be used: {error}") from None
    try:
        remote_of(card)
    except CardError as error:
        raise PackageRefusedError(str(error)) from None
    for one in card.more_inputs:
        try:
            compile_rule(one.selection)
        except RuleError as error:
            raise PackageRefusedError(f"the rule of the card's input {one.name} cannot be used: {error}") from None


def replaced(there: Version | None, new: Version, *, shadow: str = "") -> Version:
    """What is kept when a package is uploaded.

    Args:
        shadow: the version that runs beside the active one: its figures are of the bytes that are there.

    Raises:
        VersionConflictError: the version is there with other bytes, and they are fixed.
    """
    if there is None:
        return new
    if there.digest == new.digest:
        return there
    if there.state in (State.PUBLISHED, State.RETIRED):
        raise VersionConflictError(f"{there} is {there.state} with other content: raise the card's version")
    if there.version == shadow:
        raise VersionConflictError(f"{there} runs in shadow with other content: end that, or raise the card's version")
    return new


def checked(version: Version, report: Mapping[str, Any], *, passed: bool) -> Version:
    """The version after a check: a draft that passes is validated; what is published stays so."""
    state = State.VALIDATED if passed and version.state is State.DRAFT else version.state
    return replace(version, state=state, report=report)


def published(version: Version) -> Version:
    """The version, published; once more changes nothing.

    Raises:
        VersionConflictError: it has not passed its check, or is retired.
    """
    match version.state:
        case State.PUBLISHED:
            return version
        case State.VALIDATED:
            return replace(version, state=State.PUBLISHED)
        case State.DRAFT:
            raise VersionConflictError(f"{version} has not passed its check: plexus model check")
        case State.RETIRED:
            raise VersionConflictError(f"{version} is retired")


def may_serve(version: Version) -> None:
    """Only what is published serves.

    Raises:
        VersionConflictError: it is not.
    """
    if version.state is not State.PUBLISHED:
        raise VersionConflictError(f"{version} is {version.state}: only a published version can be active")


def activated(model: Model, version: str) -> Model:
    """The model with another version active. With it ends the shadow: what it ran beside is out of use."""
    return replace(model, active=version, previous=model.active, shadow="")


def may_shadow(model: Model, version: Version) -> None:
    """A version that has passed its check may run beside the active one, on the same input.

    Raises:
        VersionConflictError: it may not; the reason names what to do.
    """
    active = model.version(model.active)
    if active is None:
        raise VersionConflictError(f"no version of {model.name} is active: there is nothing to run {version} beside")
    if version.version == model.active:
        raise VersionConflictError(f"{version} is the active version: name another one")
    if version.state not in (State.VALIDATED, State.PUBLISHED):
        hint = ": plexus model check" if version.state is State.DRAFT else ""
        raise VersionConflictError(f"{version} is {version.state}: only what has passed its check runs in shadow{hint}")
    ours, theirs = ModelCard.from_mapping(active.card), ModelCard.from_mapping(version.card)
    if PackageKind.EXTERNAL in (ours.kind, theirs.kind):
        raise VersionConflictError("a model of kind external runs elsewhere: it has no shadow")
    if ours.input is not theirs.input:
        raise VersionConflictError(f"{version} takes {theirs.input}, and {active} takes {ours.input}")
    if not comparable(ours) & comparable(theirs):
        raise VersionConflictError(f"{version} and {active} have no label, measurement or class in common")


def comparable(card: ModelCard) -> frozenset[str]:
    """The names of what can be compared with another version's: labels, measurements, classes."""
    named: tuple[Label | Measurement | Finding, ...] = (*card.labels, *card.measurements, *card.classes)
    return frozenset(one.name for one in named)


def retired(model: Model, version: Version) -> Version:
    """The version, out of use; once more changes nothing.

    Raises:
        VersionConflictError: it is the active one.
    """
    if version.version == model.active:
        raise VersionConflictError(f"{version} is active: activate another version first")
    return replace(version, state=State.RETIRED)
