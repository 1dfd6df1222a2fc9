"""`plexus deidentify`: files by a profile, without the mesh; a dry run unless an output folder is named.

Nothing of a file's values is ever shown: attributes, actions and rules only.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn
from rich.table import Table

from services.anonymise.adapters.key_file import read_keys
from services.anonymise.burned_in.cleaner import BurnedIn
from services.anonymise.burned_in.devices import shipped_rules
from services.anonymise.burned_in.model import Decision
from services.anonymise.burned_in.workers import Workers
from services.anonymise.defacing.cleaner import Faces
from services.anonymise.engine.deidentifying import PixelCleaner, Policy, Surveyed, deidentify
from services.anonymise.engine.elements import read_file
from services.anonymise.engine.options import OF_PIXELS, Option
from services.anonymise.engine.profile import Profile, default_profile
from services.anonymise.engine.profile_file import read_profile
from services.anonymise.engine.pseudonyms import KEY_BYTES, Pseudonyms
from services.anonymise.engine.report import name_of, summed
from services.anonymise.errors import Reason, RefusedError
from services.anonymise.model import Action, Because, DeidentifiedInstance
from services.chassis.faults import PermanentFault
from services.launcher.errors import LauncherError

_PROFILES = Path("deploy/profiles")
_MOST_LISTED = 20
_PIXEL_BYTES, _PIXEL_SECONDS = 4 * 1024**3, 600
_SERIES_INSTANCE_UID = 0x0020000E
_DRY_RUN_KEY = bytes(KEY_BYTES)
_COLOURS = {
    Action.KEEP: "green",
    Action.CLEAN: "cyan",
    Action.UID: "blue",
    Action.DUMMY: "yellow",
    Action.EMPTY: "yellow",
    Action.REMOVE: "red",
}
_WORDS = {
    Action.KEEP: "kept",
    Action.CLEAN: "cleaned",
    Action.UID: "new UID",
    Action.DUMMY: "dummy",
    Action.EMPTY: "emptied",
    Action.REMOVE: "removed",
}


@dataclass
class _Outcome:
    """What became of the files."""

    clean: int = 0
    refused: list[tuple[Path, str]] = field(default_factory=list)
    counts: Counter[tuple[tuple[int, ...], Action, Because | Option]] = field(default_factory=Counter)


def run(
    console: Console, paths: Sequence[Path], *, profile: str, report: bool, output: Path | None, key_file: Path | None
) -> int:
    """De-identify what lies under `paths`; 0 when nothing was refused.

    Args:
        profile: a file, or the name of one in `deploy/profiles`.
        report: show what happens to each attribute.
        output: where the de-identified files go; None is a dry run.
        key_file: the site's key, so that pseudonyms are those of the mesh; needed to write.

    Raises:
        LauncherError: the profile, the key or a path cannot be used.
    """
    found = list(_files(paths))
    if not found:
        raise LauncherError("there is no file under what you named")
    with ExitStack() as parts:
        try:
            policy = _policy(profile, key_file, parts, writes=output is not None)
        except PermanentFault as fault:
            raise LauncherError(fault.reason) from None
        _introduce(console, policy.profile, output)
        outcome = _Outcome()
        columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
            cleaners = _by_series(found, policy, outcome) if policy.removes_faces else {}
            left = list(cleaners) if policy.removes_faces else found
            for path in progress.track(left, description="de-identify"):
                _handle(path, policy, output, outcome, cleaners.get(path))
        if report:
            console.print(_table(outcome, policy.profile))
        _conclude(console, outcome, output)
        return 1 if outcome.refused else 0


def _policy(name: str, key_file: Path | None, parts: ExitStack, *, writes: bool) -> Policy:
    path = Path(name)
    if not path.suffix and not path.exists():
        path = _PROFILES / f"{name}.yaml"
    profile = default_profile() if name == "default" and not path.exists() else read_profile(path)
    if key_file is None and writes:
        raise LauncherError("to write, the site's key is needed (--key-file): pseudonyms of no key lead nowhere")
    pseudonyms = read_keys(key_file).current if key_file else Pseudonyms(_DRY_RUN_KEY)
    if not profile.options & OF_PIXELS:
        return Policy(pseudonyms, profile)
    workers = Workers(count=0, memory_bytes=_PIXEL_BYTES, seconds=_PIXEL_SECONDS)
    parts.callback(workers.close)
    texts = BurnedIn(rules=shipped_rules(), workers=workers, decided=_nobody)
    return Policy(pseudonyms, profile, texts, Faces(workers=workers, decided=_nobody))


def _nobody(digest: str) -> Decision | None:
    """What people decided is known to the mesh: here, what is doubtful is refused."""
    return None


def _by_series(paths: Sequence[Path], policy: Policy, outcome: _Outcome) -> Mapping[Path, PixelCleaner | None]:
    """What cleans the pixels of each file; of a series that cannot be judged, all files are refused."""
    series: dict[bytes, list[tuple[Path, Surveyed]]] = {}
    refused: dict[bytes, str] = {}
    for path in paths:
        uid = b""
        try:
            data = path.read_bytes()
            uid = b"".join(bytes(one.value) for one in read_file(data).elements if one.tag == _SERIES_INSTANCE_UID)
            series.setdefault(uid, []).append((path, policy.surveyed(data)))
        except RefusedError as error:
            outcome.refused.append((path, error.code))
            if uid:
                refused[uid] = error.code
        except OSError:
            outcome.refused.append((path, Reason.UNREADABLE.value))
    cleaners: dict[Path, PixelCleaner | None] = {}
    for uid, members in series.items():
        try:
            if uid in refused:
                raise RefusedError(Reason(refused[uid]))
            cleaners.update(dict.fromkeys((path for path, _ in members), policy.of_series([one for _, one in members])))
        except RefusedError as error:
            outcome.refused += [(path, error.code) for path, _ in members]
    return cleaners


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.exists():
            raise LauncherError(f"{path} does not exist")
        yield from (each for each in sorted(path.rglob("*")) if each.is_file()) if path.is_dir() else (path,)


def _handle(
    path: Path, policy: Policy, output: Path | None, outcome: _Outcome, pixels: PixelCleaner | None = None
) -> None:
    try:
        with path.open("rb") as file:
            # Mapped, so that pixels are read when they are written. It closes when nothing points into it any more.
            done = deidentify(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), policy, pixels)
        if output is not None:
            _write(output, done)
        outcome.counts.update(summed([done.actions]))
        outcome.clean += 1
    except RefusedError as refused:
        outcome.refused.append((path, refused.code))
    except (ValueError, OSError):  # an empty file cannot be mapped; another cannot be read
        outcome.refused.append((path, Reason.UNREADABLE.value))


def _write(output: Path, done: DeidentifiedInstance) -> None:
    """Named by the pseudonym alone: a file's old name may be a person's."""
    output.mkdir(parents=True, exist_ok=True)
    target = output / f"{done.sop_instance_uid}.dcm"
    part = target.with_suffix(".part")
    with part.open("wb") as file:
        file.writelines(done.parts)
    part.replace(target)


def _introduce(console: Console, profile: Profile, output: Path | None) -> None:
    options = ", ".join(option.value for option in sorted(profile.options)) or "none"
    console.print(f"[bold]profile[/]  {profile.name} (DICOM PS3.15 {profile.edition})   [bold]options[/]  {options}")
    console.print(f"[bold]writes[/]   {output}" if output else "[dim]A dry run: nothing is written.[/]")


def _table(outcome: _Outcome, profile: Profile) -> Table:
    table = Table(
        "attribute", "action", "rule", "instances", title=f"What profile {profile.name} does", title_style="bold"
    )
    for (path, action, because), number in sorted(outcome.counts.items(), key=lambda line: (line[0][0], line[0][1])):
        name = " › ".join(name_of(tag) for tag in path)
        table.add_row(name, f"[{_COLOURS[action]}]{_WORDS[action]}[/]", because.value, str(number))
    return table


def _conclude(console: Console, outcome: _Outcome, output: Path | None) -> None:
    verb = "written" if output else "can leave"
    console.print(f"[green]{outcome.clean}[/] {verb}, [red]{len(outcome.refused)}[/] refused", highlight=False)
    for path, code in outcome.refused[:_MOST_LISTED]:
        console.print("[red]✗[/] ", end="")
        console.print(f"{code}  {path}", markup=False, highlight=False)
    if len(outcome.refused) > _MOST_LISTED:
        console.print(f"  and {len(outcome.refused) - _MOST_LISTED} more")
