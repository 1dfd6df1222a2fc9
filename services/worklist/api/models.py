"""The worklist by HTTP: the models that may run, and what they would take beside a series."""

from __future__ import annotations

from datetime import date, datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from pydantic import BaseModel, Field

from services.chassis import http
from services.chassis.principal import Principal
from services.contracts.card import CardInput, InputFrom, ModelCard
from services.worklist import offering
from services.worklist.inputs import Found
from services.worklist.offering import Offer
from services.worklist.ports import Catalogue, Jobs, Journal, SeriesArchive
from services.worklist.ups.building import first

_UID = r"^[0-9.]{1,64}$"
Uid = Annotated[str, Query(pattern=_UID)]
Name = Annotated[str, Path(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
Caller = Annotated[Principal, Depends(http.caller)]


class LabelView(BaseModel):
    """A segment that a model marks."""

    value: int
    name: str
    colour: tuple[int, int, int]


class NeedView(BaseModel):
    """A further series that a model takes: where it is looked for, by which rule, and whether it can do without."""

    name: str
    source: Annotated[InputFrom, Field(serialization_alias="from")]
    required: bool
    selection: str

    @classmethod
    def of(cls, one: CardInput) -> NeedView:
        """The view of an input."""
        return cls.model_validate(one, from_attributes=True)


class ModelView(BaseModel):
    """What a model's card says to everybody."""

    name: str
    version: str
    title: str
    description: str
    author: str
    licence: str
    intended_use: str
    task: str
    selection: str
    labels: list[LabelView]
    measurements: list[str]
    inputs: list[NeedView]

    @classmethod
    def of(cls, card: ModelCard) -> ModelView:
        """The view of a card."""
        own = {"description", "labels", "measurements", "inputs"}
        return cls(
            **{name: getattr(card, name) for name in cls.model_fields if name not in own},
            description=str(card.source.get("description", "")),
            labels=[LabelView(value=label.value, name=label.name, colour=label.colour) for label in card.labels],
            measurements=[measurement.name for measurement in card.measurements],
            inputs=[NeedView.of(one) for one in card.more_inputs],
        )


class ModelList(BaseModel):
    """Models, by name."""

    models: list[ModelView]


class SeriesView(BaseModel):
    """A series that fits an input; `taken` where nobody chooses. The texts are those of its images."""

    study_instance_uid: str
    series_instance_uid: str
    study_date: date | None
    study_description: str
    series_description: str
    modality: str
    instances: int
    taken: bool

    @classmethod
    def of(cls, found: Found, taken: str) -> SeriesView:
        """The view of a series."""
        said = partial(first, found.series.attributes)
        return cls(
            study_instance_uid=found.study,
            series_instance_uid=found.uid,
            study_date=_date(said("StudyDate")),
            study_description=said("StudyDescription"),
            series_description=said("SeriesDescription"),
            modality=said("Modality"),
            instances=found.series.instances,
            taken=found.uid == taken,
        )


class OfferView(NeedView):
    """What fits an input, the best first; where nothing is taken, `note` says why."""

    candidates: list[SeriesView]
    note: str

    @classmethod
    def of_offer(cls, offer: Offer) -> OfferView:
        """The view of what fits an input."""
        candidates = [SeriesView.of(found, offer.taken) for found in offer.series]
        return cls(**NeedView.of(offer.wanted).model_dump(), candidates=candidates, note=offer.note)


class OfferList(BaseModel):
    """What a model takes beside a series; none for a model that takes one series alone."""

    model: str
    model_version: str
    inputs: list[OfferView]


def _date(text: str) -> date | None:
    """A DA (PS3.5 6.2) as a date; none where it is not one."""
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # a day, not a time
    except ValueError:
        return None


def router(*, jobs: Jobs, catalogue: Catalogue, archive: SeriesArchive, journal: Journal) -> APIRouter:
    """The routes."""
    routes = APIRouter()

    @routes.get("/models")
    async def list_models(study: Uid = "", series: Uid = "") -> ModelList:
        """The models that may run, with their rules; of a series, those whose rule selects it."""
        candidates = await catalogue.candidates()
        models = [ModelView.of(candidate.card) for candidate in candidates]
        if not study or not series:
            return ModelList(models=models)
        able = await offering.processing(study, series, candidates=candidates, archive=archive, journal=journal)
        return ModelList(models=[model for model in models if model.name in able])

    @routes.get("/models/{model}/inputs")
    async def list_inputs(model: Name, study: Uid, series: Uid, principal: Caller) -> OfferList:
        """What a model would take beside a series, and what else fits: `POST /jobs` takes a choice as `inputs`."""
        candidate, found = await offering.offered(
            model,
            study,
            series,
            principal=principal,
            candidates=await catalogue.candidates(),
            archive=archive,
            jobs=jobs,
            journal=journal,
        )
        card = candidate.card
        return OfferList(model=card.name, model_version=card.version, inputs=[OfferView.of_offer(one) for one in found])

    return routes
