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
from services.contracts.processing import DECLARED

LOCK = "requirements.lock"
"""The file, in the package."""

_BYTES_MAX = 5_000_000
_LINE = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]*(\[[A-Za-z0-9._,\s-]*\])?==[^\s;@/]+\s*(;[^#\\]+?)?(\s+--hash=sha256:[0-9a-f]{64})+"
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
    def names(self) -> frozenset[str]:
        """The packages that it names; some have a line for each of several Pythons."""
        names = (re.split(r"==|\[", line, maxsplit=1)[0] for line in self.requirements)
        return frozenset(re.sub(r"[-_.]+", "-", name).lower() for name in names)

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


_NEEDS = {PackageKind.ONNX: ("scipy", "onnxruntime"), PackageKind.TORCHSCRIPT: ("scipy", "torch")}
"""What runs a network, beside NumPy."""


def has_environment(card: ModelCard) -> bool:
    """Whether a package of this kind may have one: it runs here."""
    return card.kind in (*CODED, *DECLARED, PackageKind.TRITON)


def check_lock(package: Path, card: ModelCard) -> None:
    """Whether the lock file of a package, if it has one, is one for its kind.

    Raises:
        PackageRefusedError: it cannot be used; the text names the line, or what it lacks.
    """
    lock = lock_of(package)
    if lock is None:
        return
    if not has_environment(card):
        raise PackageRefusedError(f"{LOCK} is for packages that run here, and one of kind {card.kind} does not")
    lacking = [name for name in _NEEDS.get(card.kind, ()) if name not in lock.names]
    if lacking:
        raise PackageRefusedError(f"{LOCK} lacks {' and '.join(lacking)}, which a package of kind {card.kind} needs")


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
    pending, first = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        bare = re.sub(r"(^|\s)#.*$", "", line).strip()
        first = first if pending else number
        pending = f"{pending} {bare.removesuffix(chr(92)).strip()}".strip()
        if bare.endswith("\\") or not pending:
            continue
        if _LINE.fullmatch(pending) is None:
            raise PackageRefusedError(
                f"{LOCK}, line {first}: only name==version with --hash=sha256:… is taken; "
                "plexus model lock makes such a file of requirements.in"
            )
        requirements.append(" ".join(pending.split()))
        pending = ""
    if pending:
        raise PackageRefusedError(f"{LOCK} ends within a line")
    made = Lock(tuple(requirements))
    if "numpy" not in made.names:
        raise PackageRefusedError(f"{LOCK} lacks numpy, by which images come and results go")
    return made
