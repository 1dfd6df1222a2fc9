"""The process in which a package's code runs: `python -m plexus_runner.worker FOLDER PACKAGE MEMORY_BYTES`.

It first gives up what the code must not have, then loads it. The last line of what it writes to standard error is the
reason that a person reads.
"""

from __future__ import annotations

import ctypes
import importlib.util
import platform
import resource
import signal
import struct
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from plexus_runner import adapters, files, job
from plexus_runner.memory import give_back
from plexus_runner.question import Question
from plexus_runner.refusals import Refused

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER = 1, 38, 22, 2
_FILES, _FILE_BYTES = 256, 4 << 30
_ARCHITECTURES = {
    "x86_64": (0xC000003E, (41, 425, 112, 109)),
    "aarch64": (0xC00000B7, (198, 425, 157, 154)),
}
"""Audit architecture, and the numbers of the system calls `socket` and `io_uring_setup`, by which one reaches others,
and `setsid` and `setpgid`, by which one would outlive the end of the process group."""
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | 13


def main() -> None:
    """Run the package's code once."""
    give_back()
    folder, package, memory = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    card, question = job.read(folder)
    imports = [path for path in sys.path if path]  # Plexus's runner, and the package's environment or Triton's
    confine(memory, readable=[*files.interpreter(), *imports, str(package.resolve())], writable=[str(folder)])
    try:
        answer = _answer(package, card, question, folder)
    except Refused as error:
        sys.exit(str(error))
    except MemoryError:
        sys.exit("MemoryError")
    except Exception as error:  # noqa: BLE001 - whatever the code throws is its answer
        sys.exit(f"{type(error).__name__}: {' '.join(str(error).split())}")
    job.answer(answer, question, folder)


def _answer(package: Path, card: dict[str, Any], question: Question, folder: Path) -> adapters.Arrays:
    """What the package's code says, or its network with the libraries that it brings."""
    if card["processing"] is None:
        return adapters.answer(_load(package, card["code"]["main"], card), card, question, folder)
    from plexus_runner.packages import runner_of  # late: it imports SciPy, which not every environment has

    return runner_of(package, {**card, "code": None}).run(question)


def confine(memory_bytes: int, *, readable: list[str], writable: list[str]) -> None:
    """Give up network, other files, privileges to come, and more memory than `memory_bytes` above what is mapped."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    files.confine(libc, readable=readable, writable=writable)
    _without_sockets(libc)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + memory_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES,) * 2)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))


def _without_sockets(libc: ctypes.CDLL) -> None:
    """A seccomp filter, which children inherit: these calls are refused with EACCES, another architecture kills."""
    known = _ARCHITECTURES.get(platform.machine())
    if known is None:
        raise SystemExit(f"code packages are not confined on {platform.machine()}, and so not run")
    architecture, refused = known
    # struct sock_filter: code, jump if true, jump if false, operand
    program = [
        (0x20, 0, 0, 4),  # load the architecture
        (0x15, 1, 0, architecture),
        (0x06, 0, 0, _KILL),
        (0x20, 0, 0, 0),  # load the number of the call
        (0x35, 0, 1, 0x40000000),  # the x32 calls of x86-64 have others
        (0x06, 0, 0, _REFUSE),
        *((0x15, len(refused) - number, 0, call) for number, call in enumerate(refused)),
        (0x06, 0, 0, _ALLOW),
        (0x06, 0, 0, _REFUSE),
    ]
    code = b"".join(struct.pack("<HBBI", *one) for one in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    filters = struct.pack("<HxxxxxxQ", len(program), ctypes.addressof(buffer))
    if libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.create_string_buffer(filters, len(filters)), 0, 0) != 0:
        raise SystemExit("code packages cannot be confined here (seccomp), and so are not run")


def _load(package: Path, main_file: str, card: dict[str, Any]) -> ModuleType:
    """The module in `main_file`, with the package and our stand-ins on its path."""
    stand_ins = str(Path(__file__).resolve().parents[1] / "stand_ins")
    sys.path[:0] = [str((package / main_file).parent), str(package), str(package / "site"), stand_ins]
    adapters.stand_in(card["code"]["modules"])
    spec = importlib.util.spec_from_file_location("plexus_package", package / main_file)
    if spec is None or spec.loader is None:
        raise Refused(f"the file {main_file} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules["plexus_package"] = module
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
