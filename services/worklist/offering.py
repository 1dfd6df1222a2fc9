"""What a person may ask for: the models that take a series, and what they could take beside it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from services.chassis import telemetry
from services.chassis.principal import Principal
from services.contracts import records
from services.contracts.card import CardInput
from services.contracts.events import Action, Outcome
from services.worklist import handlers, runs
from services.worklist.errors import where
from services.worklist.inputs import Found, fitting
from services.worklist.ports import Candidate, Jobs, Journal, SeriesArchive
from services.worklist.ups.making import Input

_MOST: Final = 20
"""So many series are offered for an input: each is asked for at the archive."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What fits an input.

    Attributes:
        series: the best first. What stands for an earlier input comes last.
        taken: the Series Instance UID of the one that is taken where nobody chooses, or "".
    """

    wanted: CardInput
    series: Sequence[Found]
    taken: str

    @property
    def note(self) -> str:
        """Where nothing is taken, why, in words; else ""."""
        if self.taken:
            return ""
        why = f"no {self.wanted.name} ({where(self.wanted)}) is there that has settled and that its rule selects"
        return why if self.wanted.required else f"{why}: it runs without"


async def offers(candidate: Candidate, main: Input, *, archive: SeriesArchive, journal: Journal) -> list[Offer]:
    """What fits each further input of a model on the series `main`, in the card's order; see `inputs.choose`."""
    taken: set[str] = set()
    found: list[Offer] = []
    for wanted in candidate.card.more_inputs:
        fit: list[Found] = []
        async with aclosing(
            fitting(wanted, candidate.more[wanted.name], main, archive=archive, journal=journal)
        ) as series:
            async for each in series:
                fit.append(each)
                if len(fit) == _MOST:
                    break
        fit.sort(key=lambda each: each.uid in taken)
        best = next((each.uid for each in fit if each.uid not in taken), "")
        taken.add(best)
        found.append(Offer(wanted, fit, best))
    return found


async def offered(
    model: str,
    study: str,
    series: str,
    *,
    principal: Principal,
    candidates: Sequence[Candidate],
    archive: SeriesArchive,
    jobs: Jobs,
    journal: Journal,
) -> tuple[Candidate, list[Offer]]:
    """What a model would take, and could take, beside a series; once it is on record who asks.

    Raises:
        NoSuchModelError: there is no model of this name.
    """
    candidate = runs.called(model, candidates)
    described = await archive.describe(study, series)
    main = Input(study, series, described.attributes)
    found = await offers(candidate, main, archive=archive, journal=journal)
    record = records.of(
        "worklist",
        Action.QUERY,
        Outcome.SUCCESS,
        principal,
        study_instance_uid=study,
        series_instance_uid=series,
        trace_id=telemetry.trace_id(),
        instances=sum(len(each.series) for each in found),
        detail="model-inputs",
    )
    await jobs.record(((record, None),))
    return candidate, found


async def processing(
    study: str, series: str, *, candidates: Sequence[Candidate], archive: SeriesArchive, journal: Journal
) -> set[str]:
    """The names of the models whose rule selects a series."""
    found = await archive.describe(study, series)
    return {card.name for card in handlers.selected(candidates, found.attributes, found.instances, journal)}
