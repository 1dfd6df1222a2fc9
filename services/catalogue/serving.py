"""What Triton serves of a model: what is to be used, and nothing else."""

from __future__ import annotations

import asyncio

from services.catalogue.errors import ModelBrokenError
from services.catalogue.model import Model, Version
from services.catalogue.ports import ModelServer, Packages
from services.contracts.card import ModelCard, PackageKind


async def bring_up(version: Version, card: ModelCard, *, packages: Packages, server: ModelServer) -> None:
    """Have a version served that is not yet, and answer the smallest of its test cases: its check may be long ago.

    Raises:
        ModelBrokenError: Triton cannot load it, or it gives no answer; then it is not served.
        ServerUnavailableError: Triton does not answer.
    """
    # One to go back to is there already, and may be at work.
    if card.kind is PackageKind.EXTERNAL or card.served in await server.loaded():
        return
    await server.serve(card.served, packages.folder(version), card)
    cases = await asyncio.to_thread(packages.cases, version)
    for case in sorted(cases, key=lambda one: sum(array.nbytes for array in one.inputs.values()))[:1]:
        try:
            await server.infer(card.served, case.inputs, seconds=card.timeout_seconds)
        except ModelBrokenError as error:
            await server.withdraw(card.served)
            raise ModelBrokenError(
                f"{card.name} {card.version} fails its test case {case.name}", error.reason
            ) from None


async def withdraw_all_but(model: Model, server: ModelServer) -> None:
    """What is not to serve needs no memory; jobs on the version before the active one may still be in hand."""
    serving = set(model.serving)
    for version in model.versions:
        if version.version not in serving:
            await server.withdraw(ModelCard.from_mapping(version.card).served)
