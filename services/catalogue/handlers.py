"""The use cases: packages come, are checked, published, put in use, taken back and retired."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from services.catalogue import model as rules
from services.catalogue.errors import ModelBrokenError, NoSuchModelError, VersionConflictError
from services.catalogue.model import Change, Model, State, Version
from services.catalogue.ports import Decision, Environments, Journal, Models, ModelServer, Package, Packages
from services.catalogue.serving import bring_up, withdraw_all_but
from services.chassis import telemetry
from services.chassis.principal import Principal
from services.contracts import records
from services.contracts.card import ModelCard, PackageKind
from services.contracts.events import Action, AuditRecorded, Outcome

SHIPPED = Principal.service("catalogue")
"""Who publishes what comes with Plexus."""


async def upload(archive: Path, *, principal: Principal, models: Models, packages: Packages) -> Version:
    """Keep a package as a draft. The same bytes again change nothing.

    Raises:
        PackageRefusedError: it is no package, or its card cannot be used.
        PackageTooLargeError: it is too large.
        VersionConflictError: its version is published with other bytes.
    """
    opening = packages.unpacked(archive)
    package = await asyncio.to_thread(opening.__enter__)
    try:
        return await _keep(package, State.DRAFT, principal=principal, models=models, packages=packages)
    finally:
        await asyncio.to_thread(opening.__exit__, None, None, None)


async def _keep(package: Package, state: State, *, principal: Principal, models: Models, packages: Packages) -> Version:
    card = package.card
    rules.check_card(card)
    new = Version(card.name, card.version, package.digest, state, card.source, principal.subject, _now())
    before = await models.get(card.name)
    if before:  # before any byte is moved
        rules.replaced(before.version(card.version), new, shadow=before.shadow)
    await asyncio.to_thread(packages.keep, package)

    def decide(model: Model) -> Decision:
        there = model.version(card.version)
        kept = rules.replaced(there, new, shadow=model.shadow)
        if kept is there:
            return Decision(model)
        return decided(model, kept, "uploaded", principal)

    model = await models.decide(card.name, decide)
    return found(model, card.version)


async def publish(name: str, version: str, *, principal: Principal, models: Models) -> Version:
    """Let a validated version be used.

    Raises:
        NoSuchModelError: there is none.
        VersionConflictError: it has not passed its check, or is retired.
    """

    def decide(model: Model) -> Decision:
        before = found(model, version)
        after = rules.published(before)
        return Decision(model) if after is before else decided(model, after, "published", principal)

    return found(await models.decide(name, decide), version)


async def activate(
    name: str, version: str, *, principal: Principal, models: Models, packages: Packages, server: ModelServer
) -> Model:
    """Put a version in use: it is loaded and answers before the first job runs on it. The last one stays loaded.

    Raises:
        NoSuchModelError: there is none.
        VersionConflictError: it is not published.
        ModelBrokenError: Triton cannot load it, or it fails; the version that is active stays so.
        ServerUnavailableError: Triton does not answer.
    """
    chosen = found(await get(name, models=models), version)
    rules.may_serve(chosen)
    card = ModelCard.from_mapping(chosen.card)
    await bring_up(chosen, card, packages=packages, server=server)

    def decide(model: Model) -> Decision:
        now = found(model, version)  # as it is: it may have been checked once more, or retired, while it was loaded
        rules.may_serve(now)
        if model.active == version:
            return Decision(model)
        return decided(rules.activated(model, version), now, "activated", principal, *shadow_ended(model))

    model = await models.decide(name, decide)
    await withdraw_all_but(model, server)
    return model


async def rollback(
    name: str, *, principal: Principal, models: Models, packages: Packages, server: ModelServer
) -> Model:
    """Put the version in use that was active before. Once more goes forth again.

    Raises:
        NoSuchModelError: there is no such model.
        VersionConflictError: no other version was active before, or it is retired.
        ModelBrokenError: Triton cannot load it.
        ServerUnavailableError: Triton does not answer.
    """
    model = await get(name, models=models)
    if not model.previous:
        raise VersionConflictError(f"no version of {name} was active before {model.active or 'this'}")
    return await activate(name, model.previous, principal=principal, models=models, packages=packages, server=server)


async def retire(
    name: str,
    version: str,
    *,
    principal: Principal,
    models: Models,
    packages: Packages,
    server: ModelServer,
    environments: Environments,
) -> Version:
    """Take a version out of use for good; its results stay. The last one with an environment takes that along.

    Raises:
        NoSuchModelError: there is none.
        VersionConflictError: it is active.
    """

    def decide(model: Model) -> Decision:
        before = found(model, version)
        after = rules.retired(model, before)
        if after == before:
            return Decision(model)
        previous = "" if model.previous == version else model.previous
        if model.shadow != version:
            return decided(replace(model, previous=previous), after, "retired", principal)
        left = replace(model, previous=previous, shadow="")
        return decided(left, after, "retired", principal, (after, "shadow-ended"))

    gone = found(await models.decide(name, decide), version)
    await server.withdraw(ModelCard.from_mapping(gone.card).served)
    await tidy(models=models, packages=packages, environments=environments)
    return gone


async def tidy(*, models: Models, packages: Packages, environments: Environments) -> None:
    """Remove the environments that no version needs which may still be checked or serve."""
    there = [version for model in await models.list() for version in model.versions]
    await environments.keep_only([packages.folder(one) for one in there if one.state is not State.RETIRED])


async def ship(folder: Path, *, models: Models, packages: Packages, journal: Journal) -> None:
    """Publish the packages that come with Plexus, and put new ones in use where nobody chose otherwise.

    Raises:
        PackageRefusedError: one cannot be used.
    """
    for package in await asyncio.to_thread(packages.read_all, folder):
        try:
            await _keep(package, State.PUBLISHED, principal=SHIPPED, models=models, packages=packages)
        except VersionConflictError:
            # Somebody works on it: what has served under this version's name goes on serving.
            journal.warning("model.changed_without_version", model=package.card.name, version=package.card.version)
            continue
        await models.decide(package.card.name, _shipped(package.card.version))


def _shipped(version: str) -> Callable[[Model], Decision]:
    def decide(model: Model) -> Decision:
        active = model.version(model.active)
        if model.active == version or (active is not None and active.owner != SHIPPED.subject):
            return Decision(model)
        if active is not None and active.made_at > found(model, version).made_at:  # somebody went back to an older one
            return Decision(model)
        new = found(model, version)
        return decided(rules.activated(model, version), new, "activated", SHIPPED, *shadow_ended(model))

    return decide


async def serve_all(
    *,
    models: Models,
    packages: Packages,
    server: ModelServer,
    journal: Journal,
    left_out: frozenset[str] = frozenset(),
) -> frozenset[str]:
    """Load what should serve and does not: at the start, and after Triton was restarted. Gives what is missing still.

    Args:
        left_out: what not to try, by the names under which Triton serves.

    Raises:
        ServerUnavailableError: Triton does not answer.
    """
    loaded = await server.loaded()
    missing = set(left_out)

    async def serve(version: Version, card: ModelCard) -> None:
        try:
            await server.serve(card.served, packages.folder(version), card)
        except ModelBrokenError as error:
            journal.warning("model.broken", model=version.name, version=version.version, reason=error.reason)
            missing.add(card.served)
        else:
            journal.info("model.loaded", model=version.name, version=version.version)

    wanted = [found(model, name) for model in await models.list() for name in model.serving]
    cards = [(version, ModelCard.from_mapping(version.card)) for version in wanted]
    await asyncio.gather(
        *(
            serve(version, card)
            for version, card in cards
            if card.kind is not PackageKind.EXTERNAL and card.served not in loaded | left_out
        )
    )
    return frozenset(missing)


async def find(name: str, version: str, *, models: Models) -> Version:
    """A version.

    Raises:
        NoSuchModelError: there is none.
    """
    return found(await get(name, models=models), version)


async def get(name: str, *, models: Models) -> Model:
    """A model.

    Raises:
        NoSuchModelError: there is none of this name.
    """
    model = await models.get(name)
    if model is None:
        raise NoSuchModelError(f"model {name}")
    return model


def found(model: Model, version: str) -> Version:
    """A version of a model. Raises `NoSuchModelError`."""
    there = model.version(version)
    if there is None:
        raise NoSuchModelError(f"version {version} of the model {model.name}")
    return there


def _with(model: Model, version: Version) -> Model:
    others = tuple(one for one in model.versions if one.version != version.version)
    return replace(model, versions=(version, *others))


def shadow_ended(model: Model) -> tuple[tuple[Version, str], ...]:
    """What is told of the shadow that ends with another change, where there is one."""
    shadow = model.version(model.shadow)
    return () if shadow is None else ((shadow, "shadow-ended"),)


def decided(model: Model, version: Version, what: str, principal: Principal, *also: tuple[Version, str]) -> Decision:
    """The version in its model; of it, and of what changes with it, a line in the history and a record in the log of
    accesses."""
    at, told = _now(), ((version, what), *also)
    changes = tuple(Change(at, one.name, one.version, word, principal.subject) for one, word in told)
    records = tuple(_record(one, word, principal, at) for one, word in told)
    return Decision(_with(model, version), changes, records)


def _record(version: Version, what: str, principal: Principal, at: datetime) -> AuditRecorded:
    return records.of(
        "catalogue",
        Action.CONFIGURE,
        Outcome.SUCCESS,
        principal,
        at=at,
        trace_id=telemetry.trace_id(),
        detail=f"model-{what}",
        about=str(version),
    )


def _now() -> datetime:
    return datetime.now(UTC)
