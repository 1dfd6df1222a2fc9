"""`python -m load_tests.scale`: how long searches and stores take as the archive grows, up to a million instances.

Starts PostgreSQL, NATS, ingest and archive on free ports in a folder of its own, fills the index with metadata (no
pixels) by COPY, and at some sizes asks the archive over HTTP, on one connection, with keys of studies that are there;
and writes batches of ten instances into the index as ingest does, each in a transaction of its own, durably.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import quote

import asyncpg
import typer
from rich.console import Console
from rich.table import Table

from load_tests import lean, population
from load_tests.population import Study
from services.launcher import secrets
from services.launcher.mesh import Mesh
from services.launcher.settings import Settings
from services.store import columns, index
from services.store.model import Entry

PARTS: Final = ("postgres", "nats", "ingest", "archive")
_STUDIES_A_COPY: Final = 2000
_OHIF: Final = "limit=101&offset=0&fuzzymatching=false&includefield=00081030%2C00080060%2C00080090%2C00100030"
_console = Console(stderr=True)
app = typer.Typer(add_completion=False)


@dataclass(frozen=True, slots=True)
class Latency:
    """What one kind of work takes at one size, in milliseconds."""

    work: str
    studies: int
    instances: int
    p50: float
    p99: float
    times: int


def _some(text: str, chance: random.Random, length: int) -> str:
    at = chance.randrange(max(len(text) - length, 1))
    return text[at : at + length]


def queries(study: Study, size: int, chance: random.Random) -> dict[str, str]:
    """A request of each kind, by what it is; the keys are those of `study`."""
    name, day, uid = study.text("00100010"), study.text("00080020"), study.text("0020000D")
    series, patient = study.text("0020000E"), study.text("00100020")
    year = f"{day[:4]}0101-{day[:4]}1231"
    modality = study.text("00080060")
    return {
        "newest 25 studies": "studies?limit=25",
        "OHIF's list": f"studies?{_OHIF}",
        "OHIF's list, a name": f"studies?{_OHIF}&PatientName={quote(f'*{_some(name, chance, 4)}*')}",
        "OHIF's list, an ID": f"studies?{_OHIF}&00100020={quote(f'*{_some(patient, chance, 5)}*')}",
        "OHIF's list, modalities, a month": f"studies?{_OHIF}&ModalitiesInStudy=CT%2C{modality}"
        f"&StudyDate={day[:6]}01-{day[:6]}28",
        "PatientID": f"studies?limit=25&PatientID={quote(patient)}",
        "AccessionNumber": f"studies?limit=25&AccessionNumber={quote(study.text('00080050'))}",
        "PatientName=abc*, a year": f"studies?limit=25&PatientName={quote(name[:3] + '*')}&StudyDate={year}",
        "PatientName=*ab*": f"studies?limit=25&PatientName={quote(f'*{_some(name, chance, 2)}*')}",
        "PatientName, fuzzy": f"studies?limit=25&fuzzymatching=true&PatientName={quote(name.split('^')[0])}",
        "PatientName that nobody has": f"studies?limit=25&PatientName={quote('*zqxj*')}",
        "StudyDescription=*low dose*": "studies?limit=25&StudyDescription=*low%20dose*",
        "PatientBirthDate": f"studies?limit=25&PatientBirthDate={study.text('00100030')}",
        "InstitutionName": f"studies?limit=25&InstitutionName={quote(study.text('00080080'))}",
        "Modality and body part, at studies": f"studies?limit=25&Modality={modality}&BodyPartExamined=HEAD",
        "the middle of the list": f"studies?limit=25&offset={size // 2}",
        "series of a study": f"studies/{uid}/series?includefield=0008103E%2C00080021",
        "instances of a series": f"studies/{uid}/series/{series}/instances",
        "all series by Modality": f"series?limit=25&Modality={modality}",
        "all series by a requested procedure": "series?limit=25&RequestAttributesSequence.RequestedProcedureID="
        + quote(str(study.entries[0].attributes["00400275"]["Value"][0]["00401001"]["Value"][0])),
        "all instances by SOP Instance UID": f"instances?SOPInstanceUID={study.text('00080018')}",
    }


class Filler:
    """Fills the index from another door than ingest's: a million rows in minutes."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self.count = 0
        self.sample: list[Study] = []

    async def fill(self, upto: int) -> None:
        """Add studies until there are so many, and let PostgreSQL look at them."""
        made = population.studies(upto - self.count, first=self.count)
        while batch := list(islice(made, _STUDIES_A_COPY)):
            await self._copy(batch)
            self.count += len(batch)
            self.sample += batch[:: max(len(batch) // 20, 1)]
        for table in ("study", "series", "instance"):
            await self._connection.execute(f"VACUUM ANALYZE index.{table}")
        await self._connection.execute("CHECKPOINT")

    async def _copy(self, batch: Sequence[Study]) -> None:
        study, series, instance = [await self._last(table) for table in ("study", "series", "instance")]
        studies, all_series, instances = [], [], []
        for each in batch:
            study += 1
            by_series: dict[str, list[Entry]] = {}
            for entry in each.entries:
                by_series.setdefault(entry.series_instance_uid, []).append(entry)
            first = each.entries[0]
            counts = (len(by_series), len(each.entries), len(each.entries))
            own = _copied(columns.STUDY_COLUMNS, columns.study_row(first))
            studies.append((study, *own, [each.text("00080060")], [first.sop_class_uid], *counts))
            for entries in by_series.values():
                series += 1
                own = _copied(columns.SERIES_COLUMNS, columns.series_row(entries[0]))
                all_series.append((series, study, *own, len(entries), len(entries)))
                for entry in entries:
                    instance += 1
                    instances.append((instance, series, *columns.instance_row(entry)))
        counted = ("modalities", "sop_classes", "series_count", "instance_count", "change")
        await self._into("study", ("id", *columns.STUDY_COLUMNS, *counted), studies)
        await self._into("series", ("id", "study", *columns.SERIES_COLUMNS, *counted[3:]), all_series)
        await self._into("instance", ("id", "series", *columns.INSTANCE_COLUMNS), instances)

    async def _last(self, table: str) -> int:
        return int(await self._connection.fetchval(f"SELECT coalesce(max(id), 0) FROM index.{table}"))

    async def _into(self, table: str, names: Sequence[str], rows: Sequence[tuple[object, ...]]) -> None:
        await self._connection.copy_records_to_table(table, schema_name="index", columns=names, records=rows)
        await self._connection.execute(f"SELECT setval(pg_get_serial_sequence('index.{table}', 'id'), {rows[-1][0]})")


def _copied(names: Sequence[str], row: columns.Row) -> Iterator[object]:
    """A row for COPY, which wants an array where INSERT is given text."""
    for name, value in zip(names, row, strict=True):
        yield [int(each) for each in str(value)[1:-1].split(",") if each] if name == "terms" else value


def asked(url: str, sample: Sequence[Study], size: int, times: int) -> list[Latency]:
    """Ask each kind of query so many times, each time for another study."""
    found = []
    chance = random.Random(size)
    chosen = [queries(chance.choice(sample), size, chance) for _ in range(times)]
    for work in chosen[0]:
        requests = [
            lean.get(f"{url}/{each[work]}", "application/dicom+json", status=(200, 204), at_least_bytes=0)
            for each in chosen
        ]
        lean.drive(url, requests[:5])
        found.append(_latency(work, size, lean.drive(url, requests).each))
    return found


async def stored(database: str, size: int, times: int) -> list[Latency]:
    """Write batches of ten instances: of studies that are new, and into one that is there."""
    connection = await asyncpg.connect(database)
    try:
        new = list(population.studies(times, seed=f"new at {size}"))
        grown = list(population.studies(times, seed=f"grown at {size}"))
        home = grown[0].entries[0]
        into = [[_moved(entry, home) for entry in study.entries] for study in grown]
        found = []
        for work, batches in (("store 10 of a new study", [s.entries for s in new]), ("store 10 into a study", into)):
            each, waiting = [], []
            for batch in batches:
                began = time.perf_counter()
                transaction = connection.transaction()
                await transaction.start()
                await index.record(connection, batch)
                waiting.append(time.perf_counter() - began)
                await transaction.commit()
                each.append(time.perf_counter() - began)
            found += [_latency(work, size, each), _latency(f"{work}, without its commit", size, waiting)]
        return found
    finally:
        await connection.close()


def _moved(entry: Entry, home: Entry) -> Entry:
    """An instance as one more of another's series."""
    return replace(entry, study_instance_uid=home.study_instance_uid, series_instance_uid=home.series_instance_uid)


def _latency(work: str, size: int, seconds: Sequence[float]) -> Latency:
    ordered = sorted(seconds)
    p99 = ordered[min(int(len(ordered) * 0.99), len(ordered) - 1)]
    instances = size * population.INSTANCES_A_STUDY
    return Latency(work, size, instances, statistics.median(ordered) * 1e3, p99 * 1e3, len(ordered))


async def measure(folder: Path, sizes: Sequence[int], times: int, say: Callable[[str], None]) -> list[Latency]:
    """Fill and measure at each size, on parts started for it."""
    settings = Settings.on_free_ports(folder, parts=PARTS)
    with Mesh(settings):
        password = secrets.passwords(settings.secrets)["postgres_ingest"]
        database = f"postgresql://ingest:{password}@{settings.address('postgres')}/plexus"
        owner = await asyncpg.connect(
            database.replace("ingest:" + password, "postgres:" + secrets.passwords(settings.secrets)["postgres"])
        )
        filler = Filler(owner)
        found = await stored(database, 0, times)
        for size in sizes:
            began = time.monotonic()
            await filler.fill(size)
            say(f"{size} studies after {time.monotonic() - began:.0f} s more")
            found += asked(f"{settings.url('archive')}/dicom-web", filler.sample, size, times)
            found += await stored(database, size, times)
        await owner.close()
    return found


def table(found: Sequence[Latency]) -> Table:
    """What was measured: a row a kind of work, a column a size."""
    sizes = sorted({each.studies for each in found})
    shown = Table(title="p50 / p99 in ms, by number of studies (ten instances each)")
    shown.add_column("work")
    for size in sizes:
        shown.add_column(f"{size:,}", justify="right")
    by_place = {(each.work, each.studies): each for each in found}
    for work in dict.fromkeys(each.work for each in found):
        cells = [by_place.get((work, size)) for size in sizes]
        shown.add_row(work, *(f"{cell.p50:.2f} / {cell.p99:.2f}" if cell else "" for cell in cells))
    return shown


@app.command(help=__doc__)
def scale(
    studies: Annotated[int, typer.Option(min=10, help="The largest size; ten instances a study.")] = 100_000,
    times: Annotated[int, typer.Option(min=5, help="How often each kind of work is done at each size.")] = 100,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures here.")] = None,
) -> None:
    """Measure at the size and, below it, at a tenth, a hundredth and 300."""
    sizes = sorted({studies, *(size for size in (300, studies // 100, studies // 10) if 10 <= size < studies)})
    with tempfile.TemporaryDirectory(prefix="plexus-scale-") as folder:
        found = asyncio.run(measure(Path(folder), sizes, times, _console.print))
    Console(width=160).print(table(found))
    if json_file:
        json_file.write_text(json.dumps([asdict(each) for each in found], indent=1))


if __name__ == "__main__":
    app()
