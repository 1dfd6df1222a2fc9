"""`python -m load_tests.burned_in [FOLDER]`: how much burned-in text is found, and what is seen in vain.

Recall is over our own pictures (lettering.py), by letter pixels that a mask covers. What
becomes of each file of FOLDER (`../shared/data`) is told twice: as it is in service, where original slices pass without
a look, and with every picture looked at, which shows what the reader takes for text in anatomy.
"""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from load_tests.lettering import Case, cases, hard_cases
from services.anonymise.burned_in.cleaner import BurnedIn
from services.anonymise.burned_in.devices import shipped_rules
from services.anonymise.burned_in.picture import picture_of
from services.anonymise.burned_in.question import Answer
from services.anonymise.burned_in.reading import Reader
from services.anonymise.burned_in.work import Work, WorkRefused
from services.anonymise.burned_in.workers import Workers
from services.anonymise.engine.elements import PIXEL_DATA, File, read_file
from services.anonymise.engine.kinds import Kind
from services.anonymise.engine.profile import Profile
from services.anonymise.errors import DoubtfulPixelsError, RefusedError
from services.pixels.errors import NotDescribed

_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
_PROFILE = Profile("all", kinds=frozenset(Kind))


def recall() -> None:
    """Print how much of the letters is hidden, by kind of picture."""
    reader = Reader()
    began, pictures = time.process_time(), 0
    for heading, made in (("text", cases), ("text at the limits", hard_cases)):
        whole: Counter[str] = Counter()
        all_of: Counter[str] = Counter()
        hidden_pixels: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for case in made():
            hidden = _hidden(reader, case)
            first, _, rest = case.what.partition("-")
            kinds = [first if made is hard_cases else f"on {first}", "all"]
            if "size" in rest:
                kinds.append(f"of size {rest.rpartition('size')[2]}")
            elif made is cases:
                kinds.append("turned, upright, in colour")
            for kind in kinds:
                all_of[kind] += 1
                whole[kind] += bool(hidden[case.letters].all())
                hidden_pixels[kind][0] += int(hidden[case.letters].sum())
                hidden_pixels[kind][1] += int(case.letters.sum())
            pictures += 1
        print(f"| {heading} | pictures | all letters hidden | letter pixels hidden |\n|---|---|---|---|")
        for kind in sorted(all_of):
            pixels, of = hidden_pixels[kind]
            print(f"| {kind} | {all_of[kind]} | {whole[kind]} | {100 * pixels / of:.1f} % |")
        print()
    print(f"{(time.process_time() - began) / pictures:.2f} s of a processor a picture\n", flush=True)


def _hidden(reader: Reader, case: Case) -> NDArray[np.bool_]:
    picture = case.array if case.array.ndim == 3 else np.repeat(case.array[..., None], 3, 2)
    hidden = np.zeros(case.letters.shape, bool)
    for text in reader.read(picture):
        hidden[text.box.y : text.box.y + text.box.height, text.box.x : text.box.x + text.box.width] = True
    return hidden


def outcomes(folder: Path, workers: Workers) -> None:
    """Print what becomes of the files as the service treats them."""
    cleaner = BurnedIn(rules=shipped_rules(), workers=workers, decided=lambda _: None)

    def outcome(file: File) -> str:
        try:
            seen = cleaner(file, _PROFILE)
        except DoubtfulPixelsError as error:
            return f"held: {error.finding.doubt}"
        except RefusedError as error:
            return f"refused: {error.code}"
        if not seen.done:
            return "passed without a look"
        return "masked" if _pixels(seen.file) != _pixels(file) else "looked at, unchanged"

    table: Counter[tuple[str, str]] = Counter()
    with ThreadPoolExecutor(2) as threads:
        files = list(_files(folder))
        for (name, _), what in zip(files, threads.map(outcome, (file for _, file in files)), strict=True):
            table[name, what] += 1
    print("| folder | in service | files |\n|---|---|---|")
    for (name, what), count in sorted(table.items()):
        print(f"| {name} | {what} | {count} |")
    print(flush=True)


def alarms(folder: Path, workers: Workers) -> None:
    """Print how often text is seen, when every picture is looked at."""

    def seen(file: File) -> str:
        try:
            picture = picture_of(file)
            if picture is None:
                return ""
            asked = picture.question(read=True).packed()
            found = Answer.unpacked(workers.ask(Work.EXAMINE, asked, picture.data)).found
        except (WorkRefused, NotDescribed):
            return "not readable"
        if not found:
            return "nothing"
        return "text" if any(one.sure for one in found) else "perhaps text"

    table: dict[str, Counter[str]] = defaultdict(Counter)
    with ThreadPoolExecutor(2) as threads:
        files = list(_files(folder))
        for (name, _), what in zip(files, threads.map(seen, (file for _, file in files)), strict=True):
            if what:
                table[name][what] += 1
    print("| folder | text | perhaps text | nothing | not readable |\n|---|---|---|---|---|")
    for name, counts in sorted(table.items()):
        cells = (str(counts[what]) for what in ("text", "perhaps text", "nothing", "not readable"))
        print(f"| {name} | {' | '.join(cells)} |")


def _files(folder: Path) -> Iterator[tuple[str, File]]:
    for path in sorted(folder.rglob("*")):
        data = path.read_bytes() if path.is_file() else b""
        if data[128:132] == b"DICM":
            try:
                yield path.relative_to(folder).parts[0], read_file(data)
            except RefusedError:
                continue


def _pixels(file: File) -> list[bytes]:
    return [bytes(element.value) for element in file.elements if element.tag == PIXEL_DATA]


def main() -> None:
    """All three tables."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else _DATA
    recall()
    workers = Workers(count=2, memory_bytes=4 * 1024**3, seconds=600)
    outcomes(folder, workers)
    alarms(folder, workers)
    workers.close()


if __name__ == "__main__":
    main()
