"""Small wheels made on the spot, and lock files for them: environments of packages without an index."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

from services.launcher.setup import triton

_UNUSED = ("numpy/f2py/", "numpy/distutils/", "numpy/array_api/")
WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n"
METADATA = "Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{more}"


def wheel(
    folder: Path, name: str, version: str, files: Mapping[str, bytes], *, tag: str = "py3-none-any", more: str = ""
) -> str:
    """A wheel of these files in a folder; gives its line for a lock file."""
    info = f"{name}-{version}.dist-info"
    whole = {
        **files,
        f"{info}/WHEEL": WHEEL.format(tag=tag).encode(),
        f"{info}/METADATA": METADATA.format(name=name, version=version, more=more).encode(),
    }
    record = "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in whole.items())
    whole[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-{tag}.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inner, data in whole.items():
            archive.writestr(inner, data)
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def pure(folder: Path, name: str, version: str, code: str = "", more: str = "") -> str:
    """A wheel of one module."""
    return wheel(folder, name, version, {f"{name}.py": code.encode()}, more=more)


def numpy(folder: Path) -> str:
    """The NumPy of Triton's environment as a wheel again: its files, as they are installed."""
    (site,) = (triton.FOLDER / "lib").glob("python*/site-packages")
    (info,) = site.glob("numpy-*.dist-info")
    files = {}
    for line in (info / "RECORD").read_text().splitlines():
        path = line.split(",", maxsplit=1)[0]
        wanted = path.startswith(("numpy/", "numpy.libs/")) and not path.startswith(_UNUSED)
        wanted &= "/tests/" not in path and path.endswith((".py", ".so")) | path.startswith("numpy.libs/")
        if wanted:
            files[path] = (site / path).read_bytes()
    minor = site.parent.name.removeprefix("python").replace(".", "")
    version = info.name.removeprefix("numpy-").removesuffix(".dist-info")
    return wheel(folder, "numpy", version, files, tag=f"cp{minor}-cp{minor}-linux_x86_64")


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
