"""OHIF, from npm: version and integrity pinned, and rewritten to live under /viewer.

The published build has `/` baked in as the place of its assets. After the integrity of the package is proved, that
constant is replaced in the page, the style sheet and the bundles; our own `app-config.js` takes the demo's place, and
our extension of OHIF lies beside it.
Left out: source maps, and `ort` (136 MB for tools that fetch their models from outside).
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

from services.launcher.errors import SetupError
from services.launcher.settings import REPOSITORY
from services.launcher.setup import steps

PACKAGE = "@ohif/app"
VERSION = "3.13.2"
INTEGRITY = "sha512-WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
FOLDER = REPOSITORY / "deploy" / "viewer" / "dist"
CONFIGURATION = REPOSITORY / "deploy" / "viewer" / "app-config.js"
EXTENSION = REPOSITORY / "deploy" / "viewer" / "plexus"

_PREFIX = "package/dist/"
_LEFT_OUT = ("ort/", "sw.js", "google.js", "init-service-worker.js", "_headers", "_redirects", "serve.json")
_STAMP = FOLDER / "plexus-stamp"


def step() -> steps.Step:
    """The step that makes it; the mesh runs without."""
    return steps.Step(f"OHIF viewer {VERSION}", is_there, _make, optional=True)


def is_there() -> bool:
    """Whether the viewer is installed as this code makes it."""
    try:
        return _is_built() and all((FOLDER / name).read_bytes() == path.read_bytes() for name, path in own().items())
    except OSError:
        return False


def own() -> dict[str, Path]:
    """What lies in the viewer that is ours: its name there, and where it comes from."""
    return {"app-config.js": CONFIGURATION} | {f"plexus/{path.name}": path for path in sorted(EXTENSION.glob("*.js"))}


def _make() -> None:
    if _is_built():  # only what is ours has changed
        _place(FOLDER)
        return
    if shutil.which("npm") is None:
        raise SetupError("the viewer needs Node (Debian: apt-get install nodejs npm); the mesh runs without it")
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER.parent, prefix=".unpack-") as name:
        folder = Path(name)
        pack = ["npm", "pack", "--silent", f"{PACKAGE}@{VERSION}", "--pack-destination", str(folder)]
        steps.run("fetching OHIF from npm", pack, cwd=folder)
        archive = next(folder.glob("*.tgz"))
        prove(archive)
        fresh = folder / "dist"
        _unpack(archive, fresh)
        move_under_viewer(fresh)
        _place(fresh)
        (fresh / _STAMP.name).write_text(_identity())
        shutil.rmtree(FOLDER, ignore_errors=True)
        fresh.rename(FOLDER)


def _place(folder: Path) -> None:
    shutil.rmtree(folder / EXTENSION.name, ignore_errors=True)
    for name, path in own().items():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / name)


def _is_built() -> bool:
    return _STAMP.is_file() and _STAMP.read_text() == _identity()


def _identity() -> str:
    return f"{VERSION} {INTEGRITY} {hashlib.sha256(Path(__file__).read_bytes()).hexdigest()}"


def prove(archive: Path) -> None:
    """Checks that a package is the one that we know.

    Raises:
        SetupError: it is not.
    """
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    if f"sha512-{base64.b64encode(digest).decode()}" != INTEGRITY:
        raise SetupError(f"{PACKAGE} {VERSION} is not the package that we know: its sha512 differs")


def _unpack(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.removeprefix(_PREFIX)
            wanted = member.isfile() and member.name.startswith(_PREFIX) and not name.endswith(".map")
            if not wanted or name.startswith(_LEFT_OUT) or ".." in Path(name).parts:
                continue
            source = tar.extractfile(member)
            if source is None:
                continue
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with source, path.open("wb") as out:
                shutil.copyfileobj(source, out)


def move_under_viewer(folder: Path) -> None:
    """Rewrites an unpacked build so that its assets are asked for under /viewer.

    Raises:
        SetupError: the build does not hold what is to be replaced.
    """
    page = _rewrite(
        folder / "index.html", lambda text: re.sub(r'((?:href|src|content|PUBLIC_URL)=")/', r"\1/viewer/", text)
    )
    page = re.sub(r'<script[^>]*src="/viewer/init-service-worker.js"></script>', "", page)
    (folder / "index.html").write_text(page)
    for style in folder.glob("*.css"):
        _rewrite(style, lambda text: text.replace("url(/", "url(/viewer/"))
    moved = 0
    for bundle in folder.glob("*.js"):
        text = bundle.read_text()
        fresh = text.replace('__webpack_require__.p = "/";', '__webpack_require__.p = "/viewer/";')
        fresh = fresh.replace("browserImportFunction('/", "browserImportFunction('/viewer/")
        if fresh != text:
            moved += 1
            bundle.write_text(fresh)
    if not moved or 'PUBLIC_URL="/viewer/"' not in page:
        raise SetupError(f"OHIF {VERSION} is not built as we know it: its assets cannot be moved under /viewer")


def _rewrite(path: Path, change: Callable[[str], str]) -> str:
    text = change(path.read_text())
    path.write_text(text)
    return text
