"""Which files a package's code can reach, by Landlock (Linux 5.13 and later; an older kernel keeps no such rule).

From Linux 6.12 on its signals reach only what it has started.
"""

from __future__ import annotations

import ctypes
import os
import struct
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""System calls, with the same numbers on all architectures."""
_BENEATH, _ASK_VERSION = 1, 1
_EXECUTE, _WRITE, _READ, _LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_FIRST = (1 << 13) - 1
_SINCE = {2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""Rights that later versions know: to move files between folders, to truncate, to control devices."""
_ON_FILES = _EXECUTE | _WRITE | _READ | 1 << 14 | 1 << 15
_SCOPES = 0b11
"""Abstract Unix sockets and signals, from version 6."""
_SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/etc/passwd", "/etc/group",
    "/etc/nsswitch.conf", "/etc/fonts", "/etc/mime.types", "/proc/self", "/proc/cpuinfo", "/proc/meminfo",
    "/proc/stat", "/proc/filesystems", "/proc/sys/vm", "/proc/sys/kernel", "/sys/devices/system", "/dev/urandom",
    "/dev/random", "/dev/zero",
)  # fmt: skip
"""What programs need of a system. Not among it: /dev/shm, where the volumes of others lie; /tmp; /home."""


def interpreter() -> list[str]:
    """Where this Python lies, without what is installed beside it."""
    own = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib")]
    base = (str(Path(sys.base_prefix) / one) for one in ("bin", "lib"))
    return [*own, *base, os.path.realpath(sys.executable), str(Path(sys.prefix) / "pyvenv.cfg")]


def confine(libc: ctypes.CDLL, *, readable: Iterable[str], writable: Iterable[str]) -> None:
    """Leave this process and its children with these files and folders, and what a system has for everybody."""
    version = libc.syscall(_CREATE, None, 0, _ASK_VERSION)
    if version < 1:
        return
    handled = _FIRST | sum(right for since, right in _SINCE.items() if version >= since)
    attributes = struct.pack("<QQQ", handled, 0, _SCOPES if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    rules = libc.syscall(_CREATE, attributes, size, 0)
    if rules < 0:
        raise SystemExit("code packages cannot be confined here (Landlock), and so are not run")
    for path in (*_SYSTEM, *readable):
        _allow(libc, rules, path, _EXECUTE | _READ | _LIST)
    for path in (*writable, "/dev/null"):
        _allow(libc, rules, path, handled)
    if libc.syscall(_RESTRICT, rules, 0) != 0:
        raise SystemExit("code packages cannot be confined here (Landlock), and so are not run")
    os.close(rules)


def _allow(libc: ctypes.CDLL, rules: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # not every system has everything
        return
    if not Path(path).is_dir():
        rights &= _ON_FILES
    libc.syscall(_ADD, rules, _BENEATH, struct.pack("<Qi", rights, place), 0)
    os.close(place)
