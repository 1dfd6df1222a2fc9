"""A package on a folder of DICOM files, without a mesh: `plexus model try PACKAGE FOLDER`.

What is read, refused, computed and checked is what would be in the mesh, by the same code; only Triton and the airlock
are not there. Written are the result file and pictures of the planes with the most in them.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from rich.console import Console
from rich.table import Table

from services.catalogue.adapters.environments import UvEnvironments
from services.catalogue.environments import EnvironmentState, has_environment
from services.catalogue.repository import RUNNER, described_card, is_tritons
from services.chassis.faults import Fault
from services.contracts.card import MAIN_INPUT, CardError, CardInput, ModelCard, PackageKind
from services.contracts.results import check_results
from services.contracts.tensors import form
from services.inference import assembly, model
from services.inference.adapters.npz import NpzResults
from services.inference.adapters.pydicom import PydicomReader
from services.inference.manifest import Entry
from services.inference.model import Outcome, Prediction
from services.inference.promises import check
from services.launcher.errors import SetupError
from services.launcher.settings import from_process
from services.launcher.setup import triton

_PICTURES = 3
_OPACITY = 0.45
_FRAME = (255, 200, 0)
_BOXES_SHOWN = 10
_BUILD_SECONDS = 1200.0


class TrialFailed(Exception):
    """The package refused, or its code failed; the text is its own."""


@dataclass(frozen=True, slots=True)
class _Folder:
    """The files of a folder as a work store that is only read."""

    path: Path

    async def read(self, key: str) -> bytes:
        return (self.path / key).read_bytes()

    async def read_start(self, key: str, length: int) -> bytes:
        return (await self.read(key))[:length]

    async def find(self, key: str) -> bytes | None:
        return await self.read(key)

    async def keep(self, key: str, data: bytes, *, replace: bool = False) -> bool:
        return False


@dataclass(frozen=True, slots=True, eq=False)
class Given:
    """A series as a package is given it."""

    layout: assembly.Layout
    entries: Sequence[Entry]
    volume: NDArray[Any]


def try_package(
    package: Path,
    folder: Path,
    more: Mapping[str, Path] = MappingProxyType({}),
    tell: Callable[[str], None] = lambda _: None,
) -> tuple[Outcome, Mapping[str, Given]]:
    """The package's answer to the files of the folder, checked against its card, and what it was given by input.

    Args:
        package: its folder.
        folder: of DICOM files.
        more: folders of the further inputs, by their names.
        tell: hears what takes long.

    Raises:
        CardError: the card cannot be used, or the package brings a model for a backend of Triton's.
        Fault: the files are no input for it, or the answer is not what the card promises.
        TrialFailed: the package could not answer.
        SetupError: Triton's environment is not there.
    """
    card = ModelCard.from_mapping(yaml.safe_load((package / "model.yaml").read_text(encoding="utf-8")))
    check_results(card)
    environment = asyncio.run(_environment(package, tell)) if has_environment(card) else None
    if card.kind is PackageKind.EXTERNAL or is_tritons(card, package):
        raise CardError(f"a package of kind {card.kind} is tried in the mesh")
    described = described_card(card, str(environment) if environment is not None else None)
    wanted = {one.name: one for one in card.more_inputs}
    lacking = [name for name, one in wanted.items() if one.required and name not in more]
    if lacking or set(more) - set(wanted):
        takes = " ".join(f"--input {name}=FOLDER" for name in wanted) or "no --input"
        raise TrialFailed(f"{card.name} takes beside the folder: {takes}")
    began = time.perf_counter()
    given = {MAIN_INPUT: asyncio.run(_assembled(card.main_input, folder, _files(folder)))}
    given |= {name: asyncio.run(_assembled(wanted[name], path, _files(path))) for name, path in more.items()}
    started = time.perf_counter()
    layout = given[MAIN_INPUT].layout
    prediction = Prediction(**_run(package.resolve(), described, given))
    check(prediction, card, layout.geometry.shape)
    frames = tuple((given[MAIN_INPUT].entries[index].sop_instance_uid, frame) for index, frame in layout.places)
    compute: dict[str, float | str | bool] = {
        "assemble_seconds": round(started - began, 3),
        "infer_seconds": round(time.perf_counter() - started, 3),
    }
    return Outcome("trial", card, layout.geometry, frames, prediction, compute), given


async def _environment(package: Path, tell: Callable[[str], None]) -> Path | None:
    """The environment of its own, built where it is not there: as the catalogue does, with the catalogue's settings."""
    settings = from_process()
    wheels = settings.overrides.get("PLEXUS_CATALOGUE_WHEELS_FOLDER")
    environments = UvEnvironments(
        settings.data / "trial" / "environments",
        python=str(triton.installation().bin / "python"),
        wheels=Path(wheels) if wheels else None,
        index=settings.overrides.get("PLEXUS_CATALOGUE_INDEX_URL", ""),
        seconds=float(settings.overrides.get("PLEXUS_CATALOGUE_ENVIRONMENT_SECONDS", _BUILD_SECONDS)),
    )
    progress = await environments.progress(package)
    if progress.state is EnvironmentState.MISSING:
        tell(f"building its environment of {progress.packages} packages, once for this lock file")
    return await environments.ready(package)


def tensors(given: Mapping[str, Given]) -> dict[str, NDArray[Any]]:
    """What Triton would be sent, by the tensors' names."""
    geometries = {name: one.layout.geometry for name, one in given.items()}
    return model.tensors({name: one.volume for name, one in given.items()}, geometries.pop(MAIN_INPUT), geometries)


def _run(package: Path, described: dict[str, Any], given: Mapping[str, Given]) -> dict[str, Any]:
    """The runner's answer, in the environment of Triton."""
    bin_folder = triton.installation().bin
    with tempfile.TemporaryDirectory(prefix="plexus-trial-") as name:
        work = Path(name)
        np.savez(work / "tensors.npz", allow_pickle=False, **tensors(given))
        job = {"card": described, "more": [one for one in given if one != MAIN_INPUT]}
        (work / "job.json").write_text(json.dumps(job))
        done = subprocess.run(
            [bin_folder / "python", "-m", "plexus_runner.once", package, work],
            env={"PYTHONPATH": str(RUNNER), "PYTHONDONTWRITEBYTECODE": "1", "PATH": f"{bin_folder}:/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise TrialFailed((done.stderr.strip().splitlines() or ["it ended without a word"])[-1])
        with np.load(work / "answer.npz", allow_pickle=False) as answer:
            return {key: answer[key] for key in answer.files}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_file() and path.read_bytes()[128:132] == b"DICM")


async def _assembled(wanted: CardInput, folder: Path, files: Sequence[Path]) -> Given:
    entries = [
        Entry(path.name, f"2.25.{number}", hashlib.sha256(path.read_bytes()).hexdigest())
        for number, path in enumerate(files, start=1)
    ]
    work, reader = _Folder(folder), PydicomReader()
    layout = await assembly.read_layout(entries, wanted, work=work, reader=reader, parallel=2, max_bytes=8 << 30)
    dtype, full = form(layout.units, layout.geometry.shape)
    volume: NDArray[Any] = np.empty(full, dtype)

    async def progress(_: int) -> None:
        return

    await assembly.fill(volume, entries, layout, work=work, reader=reader, parallel=2, progress=progress)
    return Given(layout, entries, volume)


def pictures(outcome: Outcome, volume: NDArray[Any]) -> list[tuple[int, Image.Image]]:
    """The planes with the most in the label map, or the middle one, grey with the labels' colours."""
    labels = outcome.prediction.labels
    boxes = np.asarray(outcome.prediction.boxes if outcome.prediction.boxes is not None else np.empty((0, 6)))
    if labels is None:
        middles = {int(np.clip(round((box[0] + box[3]) / 2), 0, len(volume) - 1)) for box in boxes[:_PICTURES]}
        planes = sorted(middles) or [len(volume) // 2]
    else:
        filled = np.array([np.count_nonzero(plane) for plane in labels])
        order = np.flatnonzero(filled) if filled.any() else np.array([len(volume) // 2])
        planes = sorted({int(order[round(share * (len(order) - 1))]) for share in np.linspace(0.2, 0.8, _PICTURES)})
    low, high = (-1000.0, 600.0) if volume.dtype == np.int16 else (float(volume.min()), float(volume.max()) or 1.0)
    made = []
    for plane in planes:
        grey = 255 * np.clip((volume[plane].astype(np.float32) - low) / (high - low or 1), 0, 1)
        picture = grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=-1)
        for label in outcome.card.labels if labels is not None else ():
            inside = np.asarray(labels)[plane] == label.value
            picture[inside] = (1 - _OPACITY) * picture[inside] + _OPACITY * np.array(label.colour, np.float32)
        image = Image.fromarray(picture.astype(np.uint8))
        for first, top, left, last, bottom, right in boxes.tolist():
            if first - 0.5 <= plane <= last + 0.5:
                ImageDraw.Draw(image).rectangle((left, top, right, bottom), outline=_FRAME)
        made.append((plane, image))
    return made


def tell(outcome: Outcome, console: Console) -> None:
    """What came out, as a table."""
    card, prediction = outcome.card, outcome.prediction
    table = Table(title=f"{card.title} ({card.name} {card.version})")
    table.add_column("what")
    for heading in ("voxels", *(f"{one.name} ({one.unit.code})" for one in card.measurements)):
        table.add_column(heading.replace("[", r"\["), justify="right")
    for row, name in enumerate([label.name for label in card.labels] or ["the whole input"]):
        found = prediction.labels
        voxels = str(np.count_nonzero(found == card.labels[row].value)) if found is not None else ""
        numbers = prediction.measurements[row].tolist() if prediction.measurements is not None else []
        table.add_row(name, voxels, *("–" if np.isnan(number) else f"{number:.6g}" for number in numbers))
    console.print(table)
    if prediction.classes is not None:
        for finding, chance in zip(card.classes, prediction.classes.tolist(), strict=True):
            console.print(f"{finding.name}: {chance:.3f}")
    if prediction.boxes is not None:
        console.print(f"{len(prediction.boxes)} boxes: first plane, row, column, last plane, row, column")
        names = {label.value: label.name for label in card.labels}
        rows = (prediction.boxes, prediction.box_labels, prediction.box_scores)
        for box, value, score in list(zip(*(np.asarray(row).tolist() for row in rows), strict=True))[:_BOXES_SHOWN]:
            console.print(f"  {names[value]} {score:.3f}: {', '.join(f'{one:.1f}' for one in box)}", highlight=False)
    console.print(f"shape {outcome.geometry.shape}, {dict(outcome.compute)}", highlight=False)


def keep(package: Path, name: str, outcome: Outcome, given: Mapping[str, Given]) -> Path:
    """Make a test case of it: what went in, and what came out as what is expected. Gives its folder."""
    case = package / "tests" / name
    case.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(case / "input.npz", allow_pickle=False, **tensors(given))
    np.savez_compressed(case / "expected.npz", allow_pickle=False, **outcome.prediction.arrays())
    return case


def main(
    package: Path,
    folder: Path,
    out: Path,
    case: str = "",
    console: Console | None = None,
    *,
    more: Mapping[str, Path] = MappingProxyType({}),
) -> int:
    """Try it, and say how it went."""
    console = console or Console()
    try:
        outcome, given = try_package(package, folder, more, console.print)
    except (CardError, Fault, TrialFailed, SetupError, OSError, yaml.YAMLError) as error:
        console.print(str(error), highlight=False, markup=False, soft_wrap=True)
        return 1
    out.mkdir(parents=True, exist_ok=True)
    (out / "result.npz").write_bytes(NpzResults().pack(outcome))
    for plane, picture in pictures(outcome, given[MAIN_INPUT].volume):
        picture.save(out / f"plane-{plane + 1:04}.png")
    tell(outcome, console)
    console.print(f"written: {out}/result.npz and pictures", highlight=False)
    if case:
        console.print(f"kept as a test case: {keep(package, case, outcome, given)}", highlight=False)
    return 0
