"""A process that decodes and reads pixels which may be hostile: `python -m services.anonymise.burned_in.worker MEMORY`.

It has the codecs and the text reader, and neither secrets nor the right to anything but its own memory and its time. It
is asked over the socket that is its standard input, one question after another, and ends when that is closed.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final

from services.anonymise.burned_in import examining
from services.anonymise.burned_in.work import ANSWER, HEAD, LENGTH, READY, Refusal, Work
from services.anonymise.defacing import working

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_FILES: Final = 64
_NICER: Final = 5


def main() -> None:
    """Answer questions until there are no more."""
    memory = int(sys.argv[1])
    door = socket.socket(fileno=0)
    sys.dont_write_bytecode = True
    examining.ready()
    confine(memory)
    door.sendall(READY)
    while head := door.recv(HEAD.size, socket.MSG_WAITALL):
        count, seconds = HEAD.unpack(head)
        work, parameters, *data = [_part(door) for _ in range(count)]
        _allow(seconds)
        good, answer = _answer(work, parameters, data)
        del parameters, data
        door.sendall(ANSWER.pack(good, len(answer)))
        door.sendall(answer)
        del answer


def confine(memory_bytes: int) -> None:
    """Give up all that the work does not need; `memory_bytes` is what it may take above what the process has now."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICER)
    mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (mapped + memory_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))


def _answer(work: bytes, parameters: bytes, data: list[bytes]) -> tuple[bool, bytes]:
    try:
        match Work(work.decode()):
            case Work.EXAMINE:
                return True, examining.examine(parameters, data)
            case Work.PREVIEW:
                return True, examining.preview(parameters, data)
            case Work.SURVEY:
                return True, working.survey(parameters, data)
            case Work.DEFACE:
                return True, working.deface(parameters, data)
    except MemoryError:
        return False, Refusal.TOO_LARGE.encode()
    except Exception as error:  # noqa: BLE001  # whatever a library throws at hostile bytes is one answer
        code = str(getattr(error, "code", ""))
        known = code in (Refusal.TOO_LARGE, Refusal.NO_READER)
        return False, (Refusal(code) if known else Refusal.UNREADABLE).encode()


def _allow(seconds: int) -> None:
    """The next question may take so much time of a processor: the kernel ends the process after that."""
    most = int(time.process_time()) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (most, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _part(door: socket.socket) -> bytes:
    (length,) = LENGTH.unpack(door.recv(LENGTH.size, socket.MSG_WAITALL))
    return door.recv(length, socket.MSG_WAITALL) if length else b""


if __name__ == "__main__":
    main()
