"""Which version may run beside the active one, and what is reported of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.catalogue import model as rules
from services.catalogue import shadows
from services.catalogue.adapters.runs import _figure, _plain
from services.catalogue.errors import UnreadableFactError, VersionConflictError
from services.catalogue.handlers import shadow_ended
from services.catalogue.model import Model, State, Version
from services.catalogue.shadows import ClassView, LabelView, MeasurementView, Run
from services.catalogue.subscriptions import subscriptions
from services.chassis.hearing import Delivery
from services.contracts.events import Figure, FigureKind, ShadowCompared
from tests.unit.contracts.test_card import CARD

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
NAN = float("nan")


def version(name: str, state: State, **changes: Any) -> Version:
    return Version("a-model", name, f"d-{name}", state, {**CARD, **changes}, "local", NOON)


ACTIVE = version("1.0.0", State.PUBLISHED)
CANDIDATE = version("2.0.0", State.VALIDATED)
MODEL = Model("a-model", (CANDIDATE, ACTIVE), active="1.0.0")


@pytest.mark.parametrize("state", [State.VALIDATED, State.PUBLISHED])
def test_a_version_that_has_passed_its_check_may_run_beside_the_active_one(state: State) -> None:
    rules.may_shadow(MODEL, replace(CANDIDATE, state=state))


OTHER_LABEL = {**CARD["labels"][0], "name": "Something else"}  # type: ignore[index]


@pytest.mark.parametrize(
    ("model", "candidate", "why"),
    [
        (replace(MODEL, active=""), CANDIDATE, "nothing to run"),
        (MODEL, ACTIVE, "is the active version"),
        (MODEL, replace(CANDIDATE, state=State.DRAFT), "plexus model check"),
        (MODEL, replace(CANDIDATE, state=State.RETIRED), "is retired"),
        (MODEL, version("2.0.0", State.VALIDATED, kind="external"), "runs elsewhere"),
        (MODEL, version("2.0.0", State.VALIDATED, input={"kind": "frames"}), "takes frames"),
        (MODEL, version("2.0.0", State.VALIDATED, labels=[OTHER_LABEL], measurements=[]), "in common"),
    ],
)
def test_what_may_not_run_in_shadow_is_told_why(model: Model, candidate: Version, why: str) -> None:
    with pytest.raises(VersionConflictError, match=why):
        rules.may_shadow(model, candidate)


def test_the_shadow_is_kept_loaded_also_before_it_is_published() -> None:
    assert replace(MODEL, shadow="2.0.0").serving == ("1.0.0", "2.0.0")
    assert replace(MODEL, previous="2.0.0", shadow="2.0.0").serving == ("1.0.0", "2.0.0")
    assert MODEL.serving == ("1.0.0",)


def test_another_active_version_ends_the_shadow_and_its_end_is_told() -> None:
    running = replace(MODEL, shadow="2.0.0")
    after = rules.activated(running, "2.0.0")
    assert (after.active, after.previous, after.shadow) == ("2.0.0", "1.0.0", "")
    assert shadow_ended(running) == ((CANDIDATE, "shadow-ended"),)
    assert shadow_ended(MODEL) == ()


def test_the_bytes_of_a_version_in_shadow_are_not_replaced() -> None:
    new = replace(CANDIDATE, digest="d2")
    assert rules.replaced(CANDIDATE, new) is new
    with pytest.raises(VersionConflictError, match="runs in shadow"):
        rules.replaced(CANDIDATE, new, shadow="2.0.0")


def run(number: int, *figures: Figure, seconds: tuple[float, float] = (1, 2), reason: str = "") -> Run:
    at = NOON + timedelta(minutes=number)
    return Run(at, "a-model", "1.0.0", "2.0.0", f"job{number}", reason, reason and "it failed", *seconds, figures)


def label(dice: float) -> Figure:
    return Figure(FigureKind.LABEL, "Lung", "", 10, 10, dice)


def volume(active: float, candidate: float) -> Figure:
    return Figure(FigureKind.MEASUREMENT, "Lung volume", "mL", active, candidate)


def seen(active: int, candidate: int) -> Figure:
    return Figure(FigureKind.CLASS, "seen", "", active, candidate)


def report(*runs: Run) -> shadows.ShadowReport:
    return shadows.report("a-model", "1.0.0", "2.0.0", runs, running=True)


def test_the_report_has_dice_with_the_worst_job_bland_altman_classes_failures_and_times() -> None:
    found = report(
        run(1, label(0.9), volume(10, 11), seen(1, 1)),
        run(2, label(0.5), volume(20, 19), seen(0, 0), seconds=(3, 4)),
        run(3, reason="model-failed"),
        run(4, label(1.0), volume(5, NAN), seen(1, 0)),
        run(5, label(0.8), volume(NAN, 4), seen(0, 1)),
    )
    assert (found.runs, found.running, found.failures) == (5, True, {"model-failed": 1})
    assert [(one.job_id, one.reason) for one in found.last_failures] == [("job3", "it failed")]
    assert found.labels == [
        LabelView("Lung", 4, pytest.approx(0.85), pytest.approx(0.725), pytest.approx(0.925), 0.5, "job2")
    ]
    limits = pytest.approx(-2.771859, abs=1e-5), pytest.approx(2.771859, abs=1e-5)  # SD of 1 and -1 is the root of 2
    assert found.measurements == [MeasurementView("Lung volume", "mL", 2, 0, *limits, 1, 1)]
    assert found.classes == [ClassView("seen", 4, 0.5, 1, 1, 1, 1)]
    assert found.seconds is not None
    assert (found.seconds.active_median, found.seconds.candidate_most) == (1, 4)
    assert (found.first_at, found.last_at) == (NOON + timedelta(minutes=1), NOON + timedelta(minutes=5))


def test_a_report_of_nothing_and_of_failures_alone_has_no_figures() -> None:
    assert report().seconds is None and report().first_at is None
    alone = report(*(run(number, reason="model-failed") for number in range(9)))
    assert (alone.runs, alone.failures, alone.labels) == (9, {"model-failed": 9}, [])
    assert [one.job_id for one in alone.last_failures] == ["job8", "job7", "job6", "job5", "job4"]


def test_a_measurement_that_nobody_made_has_neither_bias_nor_limits() -> None:
    (found,) = report(run(1, volume(NAN, NAN))).measurements
    assert found == MeasurementView("Lung volume", "mL", 0, None, None, None, 0, 0)


def test_nan_goes_into_the_database_as_null_and_comes_back() -> None:
    kept: Mapping[str, Any] = _plain(volume(NAN, 4))
    assert (kept["active"], kept["candidate"]) == (None, 4)
    back = _figure(dict(kept))
    assert back.active != back.active and back.candidate == 4


class Journal:
    """Forgets."""

    def info(self, event: str, **fields: Any) -> None: ...
    def warning(self, event: str, **fields: Any) -> None: ...


@pytest.mark.parametrize(
    "data",
    [b"\xff\xff\xff", ShadowCompared("job1", "m", "1", "2", figures=(Figure("odd", "", "", 0, 0),)).to_bytes()],
)
async def test_what_is_no_comparison_is_refused_for_good(data: bytes) -> None:
    (one,) = subscriptions(runs=None, journal=Journal())  # type: ignore[arg-type]  # it does not come so far
    with pytest.raises(UnreadableFactError):
        await one.handle(Delivery("plexus.shadow.compared", data, "id", 1))
