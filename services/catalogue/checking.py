"""A package's own test cases, run on Triton beside what serves, and compared with what its author expects."""

from __future__ import annotations

import asyncio
import io
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from services.catalogue import handlers, reporting
from services.catalogue import model as rules
from services.catalogue.errors import ModelBrokenError
from services.catalogue.model import Model, Verdict, Version
from services.catalogue.ports import Arrays, Case, Decision, Models, ModelServer, Packages, Pictures
from services.chassis.principal import Principal
from services.contracts.card import ModelCard, PackageKind


async def check(
    name: str,
    version: str,
    *,
    principal: Principal,
    models: Models,
    packages: Packages,
    server: ModelServer,
    pictures: Pictures,
) -> Version:
    """Run the test cases of a version; a draft that passes all of them, and has one, is validated.

    Raises:
        NoSuchModelError: there is no such version.
        PackageRefusedError: a test case cannot be read.
        ServerUnavailableError: Triton does not answer.
    """
    chosen = await handlers.find(name, version, models=models)
    card = ModelCard.from_mapping(chosen.card)
    cases = await asyncio.to_thread(packages.cases, chosen)
    folder = packages.reports(chosen)
    served = f"check-{chosen.digest[:16]}"
    problems: list[str] = [] if cases else ["the package has no test case: tests/<case>/input.npz and expected.npz"]
    verdicts: list[Verdict] = []
    began = perf_counter()
    loaded = 0.0
    if card.kind is PackageKind.EXTERNAL:  # nothing of it runs here: there is its card alone
        cases, problems = (), []
    try:
        if card.kind is not PackageKind.EXTERNAL:
            await server.serve(served, packages.folder(chosen), card)
        loaded = perf_counter() - began
        for case in cases:
            verdicts.append(await _run(case, served, card, server=server, pictures=pictures, folder=folder))
    except ModelBrokenError as error:
        problems.append(error.reason)
    finally:
        await server.withdraw(served)
    passed = not problems and all(verdict.passed for verdict in verdicts)
    report = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "digest": chosen.digest,
        "passed": passed,
        "load_seconds": round(loaded, 3),
        "problems": problems,
        "cases": [asdict(verdict) | {"passed": verdict.passed} for verdict in verdicts],
    }
    await asyncio.to_thread(reporting.write, folder, card, report)

    def decide(model: Model) -> Decision:
        there = model.version(version)
        if there is None or there.digest != chosen.digest:  # uploaded again meanwhile: the report is of other bytes
            return Decision(model)
        after = rules.checked(there, report, passed=passed)
        return handlers.decided(model, after, "checked" if passed else "check-failed", principal)

    model = await models.decide(name, decide)
    return handlers.found(model, version)


async def _run(
    case: Case, served: str, card: ModelCard, *, server: ModelServer, pictures: Pictures, folder: Path
) -> Verdict:
    began = perf_counter()
    try:
        outputs = await server.infer(served, case.inputs, seconds=card.timeout_seconds)
    except ModelBrokenError as error:
        return Verdict(case.name, round(perf_counter() - began, 3), problems=(error.reason,))
    seconds = round(perf_counter() - began, 3)
    figures, problems = compare(case, outputs, card)
    picture = await asyncio.to_thread(pictures.overlay, card, case.inputs, outputs)
    await asyncio.to_thread(reporting.keep, folder, case.name, picture, packed(outputs))
    return Verdict(case.name, seconds, figures, tuple(problems), f"{case.name}.png" if picture else "")


def compare(case: Case, outputs: Arrays, card: ModelCard) -> tuple[dict[str, float], list[str]]:
    """How near the outputs are to what is expected: figures, and what is not near enough."""
    figures: dict[str, float] = {}
    problems: list[str] = []
    if case.expected is None:
        return figures, ["there is no expected.npz: look at the picture, then keep what came out with --record"]
    for name, expected in case.expected.items():
        output = outputs.get(name)
        if output is None:
            problems.append(f"there is no output {name}")
        elif output.shape != expected.shape:
            problems.append(f"{name} is {_by(output)} where {_by(expected)} is expected")
        elif name == "labels":
            for label in card.labels:
                score = dice(output == label.value, expected == label.value)
                figures[f"Dice {label.name}"] = round(score, 4)
                if score < case.dice:
                    problems.append(f"{label.name}: Dice {score:.3f} is below {case.dice}")
        elif expected.dtype.kind == "f":
            error = relative_error(output.astype(np.float64), expected.astype(np.float64))
            figures[f"{name} relative error"] = float(f"{error:.3g}")
            if not error <= case.relative:
                problems.append(f"{name}: relative error {error:.3g} is above {case.relative}")
        elif not np.array_equal(output, expected):
            problems.append(f"{name} differs in {int((output != expected).sum())} of {expected.size} values")
    return figures, problems


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """The Dice coefficient of two masks; 1 where both are empty."""
    both = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / both if both else 1.0


def relative_error(output: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """The largest difference, relative to what is expected; infinite where one alone is NaN."""
    if (np.isnan(output) != np.isnan(expected)).any():
        return float("inf")
    there = ~np.isnan(expected)
    if not there.any():
        return 0.0
    scale = np.maximum(np.abs(expected[there]), 1e-6)
    return float((np.abs(output[there] - expected[there]) / scale).max())


def packed(arrays: Arrays) -> bytes:
    """Arrays as an npz file."""
    file = io.BytesIO()
    np.savez_compressed(file, allow_pickle=False, **{name: np.asarray(array) for name, array in arrays.items()})
    return file.getvalue()


def _by(array: NDArray[np.generic]) -> str:
    return " x ".join(map(str, array.shape)) or "one number"
