"""The use cases of a shadow: a candidate begins to run beside the active version, ends, and is reported on."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from services.catalogue import model as rules
from services.catalogue import shadows
from services.catalogue.errors import NoSuchModelError, VersionConflictError
from services.catalogue.handlers import decided, found, get, shadow_ended
from services.catalogue.model import Model
from services.catalogue.ports import Decision, Models, ModelServer, Packages, Runs
from services.catalogue.serving import bring_up, withdraw_all_but
from services.catalogue.shadows import Run, ShadowReport
from services.chassis.principal import Principal
from services.contracts.card import ModelCard
from services.contracts.events import ShadowCompared
from services.contracts.tensors import Output, promised

_NOT_COMPARED = (Output.MAP, Output.IMAGE)


async def begin(
    name: str, version: str, *, principal: Principal, models: Models, packages: Packages, server: ModelServer
) -> Model:
    """Let a version run beside the active one from now on, in place of another that does.

    Raises:
        NoSuchModelError: there is none.
        VersionConflictError: it may not; the reason names what to do.
        ModelBrokenError: Triton cannot load it, or it fails.
        ServerUnavailableError: Triton does not answer.
    """
    model = await get(name, models=models)
    chosen = found(model, version)
    rules.may_shadow(model, chosen)
    card = ModelCard.from_mapping(chosen.card)
    await bring_up(chosen, card, packages=packages, server=server)

    def decide(model: Model) -> Decision:
        now = found(model, version)  # as it is: it may have been retired while it was loaded
        rules.may_shadow(model, now)
        if model.shadow == version:
            return Decision(model)
        return decided(replace(model, shadow=version), now, "shadow-begun", principal, *shadow_ended(model))

    model = await models.decide(name, decide)
    await withdraw_all_but(model, server)
    return model


async def end(name: str, *, principal: Principal, models: Models, server: ModelServer) -> Model:
    """Let no version run beside the active one any more. What was found stays.

    Raises:
        NoSuchModelError: there is no such model.
        VersionConflictError: no version runs there.
    """

    def decide(model: Model) -> Decision:
        if not model.shadow:
            raise VersionConflictError(f"no version of {name} runs in shadow")
        return decided(replace(model, shadow=""), found(model, model.shadow), "shadow-ended", principal)

    await get(name, models=models)
    model = await models.decide(name, decide)
    await withdraw_all_but(model, server)
    return model


async def hear(compared: ShadowCompared, *, runs: Runs) -> bool:
    """Keep what came of a run; False if it is there already, or too late: the shadow has ended."""
    return await runs.keep(
        Run(
            at=datetime.now(UTC),
            name=compared.model,
            active=compared.model_version,
            candidate=compared.candidate,
            job_id=compared.job_id,
            reason_code=compared.reason_code,
            reason=compared.reason,
            active_seconds=compared.active_seconds,
            candidate_seconds=compared.candidate_seconds,
            figures=compared.figures,
        )
    )


async def report(name: str, *, models: Models, runs: Runs) -> ShadowReport:
    """How the version that runs beside the active one does; where none does, the one that did last.

    Raises:
        NoSuchModelError: there is no such model, or never was a run beside it.
    """
    model = await get(name, models=models)
    pair = (model.active, model.shadow) if model.shadow else await runs.last(name)
    if pair is None:
        raise NoSuchModelError(f"shadow of the model {name}: plexus model shadow {name} VERSION begins one")
    active, candidate = found(model, pair[0]), found(model, pair[1])
    # A version that is not published may have come again with other bytes; what older ones said is not its own.
    its_own = [run for run in await runs.of(name, *pair) if run.at >= candidate.made_at]
    ours, theirs = (promised(ModelCard.from_mapping(one.card)) for one in (active, candidate))
    left_out = [output.value for output in _NOT_COMPARED if output in ours and output in theirs]
    return shadows.report(name, *pair, its_own, running=bool(model.shadow), not_compared=left_out)
