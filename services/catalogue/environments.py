"""The environment of a package's own: what its lock file may say, and by which name it is known.

The lock file is `requirements.lock` beside `model.yaml`, as `uv pip compile --generate-hashes` or pip-tools write it.
Nothing but versions with hashes is taken: an option, an address or a folder in it would be followed by whoever builds.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from services.catalogue.errors import PackageRefusedError
from services.contracts.card import ModelCard, PackageKind
from services.contracts.code import CODED

LOCK = "requirements.lock"
"""The file, in the package."""

_BYTES_MAX = 5_000_000
_LINE = re.compile(
    r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(\[[A-Za-z0-9._,\s-]*\])?==[^\s;@/]+\s*(;[^#\\]+?)?(\s+--hash=sha256:[0-9a-f]{64})+"
)


class EnvironmentState(StrEnum):
    """Where an environment is."""

    NONE = "none"
    """The package has no lock file."""
    MISSING = "missing"
    BUILDING = "building"
    READY = "ready"


@dataclass(frozen=True, slots=True)
class Lock:
    """What an environment holds: requirements with their hashes, a line each, in order."""

    requirements: tuple[str, ...]

    @property
    def packages(self) -> int:
        """How many packages it names; some have a line for each of several Pythons."""
        return len({line.partition("==")[0] for line in self.requirements})

    @property
    def text(self) -> str:
        """As a file."""
        return "\n".join(self.requirements) + "\n"

    def environment(self, python: str, platform: str) -> str:
        """The name of its environment for a Python (`3.11`) on a platform: the same lock file has the same one."""
        digest = hashlib.sha256(self.text.encode()).hexdigest()[:32]
        return f"python{python}-{platform}-{digest}"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an environment is.

    Attributes:
        name: of the environment.
        packages: that its lock file names.
        seconds: since its building began.
        words: what the builder said last.
    """

    state: EnvironmentState
    name: str = ""
    packages: int = 0
    seconds: float = 0.0
    words: str = ""


def has_environment(card: ModelCard) -> bool:
    """Whether a package of this kind may have one: it has code."""
    return card.kind in CODED or card.kind is PackageKind.TRITON


def lock_of(package: Path) -> Lock | None:
    """The lock file of a package, None where there is none.

    Raises:
        PackageRefusedError: it cannot be used; the text names the line.
    """
    path = package / LOCK
    if not path.is_file():
        return None
    if path.stat().st_size > _BYTES_MAX:
        raise PackageRefusedError(f"{LOCK} is larger than {_BYTES_MAX} bytes")
    try:
        return parsed(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        raise PackageRefusedError(f"{LOCK} is not UTF-8") from None


def parsed(text: str) -> Lock:
    """The lock file in `text`; comments and the layout of lines do not count.

    Raises:
        PackageRefusedError: a line is not `name==version --hash=sha256:…`, or NumPy is not in it.
    """
    requirements: list[str] = []
    names: set[str] = set()
    pending, first = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        bare = re.sub(r"(^|\s)#.*$", "", line).strip()
        first = first if pending else number
        pending = f"{pending} {bare.removesuffix(chr(92)).strip()}".strip()
        if bare.endswith("\\") or not pending:
            continue
        found = _LINE.fullmatch(pending)
        if found is None:
            raise PackageRefusedError(
                f"{LOCK}, line {first}: only name==version with --hash=sha256:… is taken; "
                "plexus model lock makes such a file of requirements.in"
            )
        requirements.append(" ".join(pending.split()))
        names.add(re.sub(r"[-_.]+", "-", found["name"]).lower())
        pending = ""
    if pending:
        raise PackageRefusedError(f"{LOCK} ends within a line")
    if "numpy" not in names:
        raise PackageRefusedError(f"{LOCK} lacks numpy, by which images come and results go")
    return Lock(tuple(requirements))
