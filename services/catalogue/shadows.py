"""What a candidate said beside the active version: its runs, and the report over them. Frozen values and pure rules."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isnan

from services.catalogue.statistics import BlandAltman, Quartiles
from services.contracts.events import Figure, FigureKind


@dataclass(frozen=True, slots=True)
class Run:
    """A candidate on the input of one job.

    Attributes:
        active: the version that made the job's result.
        reason_code: why there are no figures; empty where there are.
        active_seconds: that the model alone took.
    """

    at: datetime
    name: str
    active: str
    candidate: str
    job_id: str
    reason_code: str = ""
    reason: str = ""
    active_seconds: float = 0.0
    candidate_seconds: float = 0.0
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, slots=True)
class FailureView:
    """A run that gave no figures."""

    job_id: str
    at: datetime
    reason_code: str
    reason: str


@dataclass(frozen=True, slots=True)
class LabelView:
    """Dice coefficients of a label; `worst_job` is the job with the least, where to look first."""

    name: str
    n: int
    median: float
    low_quartile: float
    high_quartile: float
    worst: float
    worst_job: str


@dataclass(frozen=True, slots=True)
class MeasurementView:
    """Bland-Altman of a measurement: candidate minus active, in `unit`.

    Attributes:
        n: pairs that both versions measured.
        bias: None without a pair; the limits are None with fewer than two.
        only_active: runs in which the active version alone measured it.
    """

    name: str
    unit: str
    n: int
    bias: float | None
    low_limit: float | None
    high_limit: float | None
    only_active: int
    only_candidate: int


@dataclass(frozen=True, slots=True)
class ClassView:
    """How often both versions said the same of a class, by the thresholds of their own cards."""

    name: str
    n: int
    agreement: float
    both: int
    only_active: int
    only_candidate: int
    neither: int


@dataclass(frozen=True, slots=True)
class SecondsView:
    """Compute time of the models alone, in the runs that were compared."""

    active_median: float
    active_most: float
    candidate_median: float
    candidate_most: float


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """How a candidate did beside the active version.

    Attributes:
        running: whether it still runs there.
        runs: that ended, with figures or without.
        failures: by their reason codes.
        last_failures: the newest few.
        not_compared: outputs of both that are not looked at.
    """

    name: str
    active: str
    candidate: str
    running: bool
    runs: int
    first_at: datetime | None
    last_at: datetime | None
    failures: Mapping[str, int]
    last_failures: Sequence[FailureView]
    labels: Sequence[LabelView]
    measurements: Sequence[MeasurementView]
    classes: Sequence[ClassView]
    seconds: SecondsView | None
    not_compared: Sequence[str]


_FAILURES_SHOWN = 5


def report(
    name: str, active: str, candidate: str, runs: Sequence[Run], *, running: bool, not_compared: Iterable[str] = ()
) -> ShadowReport:
    """The report over runs, which come oldest first."""
    compared = [run for run in runs if not run.reason_code]
    failed = [run for run in runs if run.reason_code]
    found: dict[FigureKind, dict[tuple[str, str], list[tuple[Figure, str]]]] = {
        kind: defaultdict(list) for kind in FigureKind
    }
    for run in compared:
        for figure in run.figures:
            found[FigureKind(figure.kind)][figure.name, figure.unit].append((figure, run.job_id))
    return ShadowReport(
        name=name,
        active=active,
        candidate=candidate,
        running=running,
        runs=len(runs),
        first_at=runs[0].at if runs else None,
        last_at=runs[-1].at if runs else None,
        failures=dict(Counter(run.reason_code for run in failed)),
        last_failures=[
            FailureView(run.job_id, run.at, run.reason_code, run.reason) for run in failed[: -_FAILURES_SHOWN - 1 : -1]
        ],
        labels=[_label(key[0], each) for key, each in found[FigureKind.LABEL].items()],
        measurements=[_measurement(key, each) for key, each in found[FigureKind.MEASUREMENT].items()],
        classes=[_class(key[0], each) for key, each in found[FigureKind.CLASS].items()],
        seconds=_seconds(compared),
        not_compared=list(not_compared),
    )


def _label(name: str, found: Sequence[tuple[Figure, str]]) -> LabelView:
    spread = Quartiles.of([figure.dice for figure, _ in found])
    worst, job_id = min(((figure.dice, job_id) for figure, job_id in found), key=lambda each: each[0])
    return LabelView(name, len(found), spread.median, spread.low, spread.high, worst, job_id)


def _measurement(key: tuple[str, str], found: Sequence[tuple[Figure, str]]) -> MeasurementView:
    told = [(figure.active, figure.candidate) for figure, _ in found]
    pairs = [(one, other) for one, other in told if not isnan(one) and not isnan(other)]
    one_alone = sum(not isnan(one) and isnan(other) for one, other in told)
    other_alone = sum(isnan(one) and not isnan(other) for one, other in told)
    if not pairs:
        return MeasurementView(*key, 0, None, None, None, one_alone, other_alone)
    agreed = BlandAltman.of(pairs)
    return MeasurementView(*key, agreed.n, agreed.bias, agreed.low, agreed.high, one_alone, other_alone)


def _class(name: str, found: Sequence[tuple[Figure, str]]) -> ClassView:
    counts = Counter((figure.active > 0, figure.candidate > 0) for figure, _ in found)
    both, neither = counts[True, True], counts[False, False]
    agreement = (both + neither) / len(found)
    return ClassView(name, len(found), agreement, both, counts[True, False], counts[False, True], neither)


def _seconds(compared: Sequence[Run]) -> SecondsView | None:
    if not compared:
        return None
    active, candidate = [run.active_seconds for run in compared], [run.candidate_seconds for run in compared]
    return SecondsView(Quartiles.of(active).median, max(active), Quartiles.of(candidate).median, max(candidate))
