"""A process that handles bytes which may be hostile: `python -m services.archive.worker MEMORY_BYTES`.

It has the codecs, and neither secrets nor the right to anything but its own memory and its time. It is asked over the
socket that is its standard input, one question after another, and ends when that is closed.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from struct import Struct
from typing import Final

from services.archive.work import Work

QUESTION: Final = Struct("<II")
"""Of how many parts it is, and the seconds of a processor's time that it may take."""
LENGTH: Final = Struct("<Q")
ANSWER: Final = Struct("<BBQ")
"""Whether it went well, whether the worker ends now, and the length of what follows."""

READY: Final = b"!"
MADE, REFUSED = 0, 1
FAULT: Final = "fault"
TOO_LARGE: Final = "too-large"
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_FILES: Final = 64
_NICER: Final = 5
_PAGE: Final = resource.getpagesize()

Function = Callable[[bytes, Sequence[bytes]], bytes]


def main() -> None:
    """Answer questions until there are no more."""
    memory = int(sys.argv[1])
    door = socket.socket(fileno=0)
    sys.dont_write_bytecode = True
    functions = {work.value: _function(work) for work in Work}
    confine(memory)
    idle = _resident()
    door.sendall(READY)
    while (question := _question(door)) is not None:
        seconds, (name, parameters, *data) = question
        _allow(seconds)
        status, answer = _answer(functions.get(name.decode("ascii", "replace")), parameters, data)
        del parameters, data, question
        # What a library does not give back is given back by the end of the process.
        ends = _resident() - idle > memory // 2
        _tell(door, ANSWER.pack(status, ends, len(answer)), answer)
        del answer
        if ends:
            return


def confine(memory_bytes: int) -> None:
    """Give up all that the work does not need; `memory_bytes` is what it may take above what the process has now."""
    libc = ctypes.CDLL(None)
    # It ends with the thread that started it: one of the pool's, which last as long as the pool.
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(_NICER)
    mapped = _statm(0)
    resource.setrlimit(resource.RLIMIT_AS, (mapped + memory_bytes,) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES, _FILES))


def _function(work: Work) -> Function:
    module, _, name = work.value.partition(":")
    function: Function = getattr(import_module(module), name)
    return function


def _answer(function: Function | None, parameters: bytes, data: Sequence[bytes]) -> tuple[int, bytes]:
    if function is None:
        return REFUSED, FAULT.encode()
    try:
        return MADE, function(parameters, data)
    except MemoryError:
        return REFUSED, TOO_LARGE.encode()
    except Exception as error:  # noqa: BLE001  # whatever a library throws at hostile bytes is one answer
        return REFUSED, str(getattr(error, "code", FAULT)).encode()


def _allow(seconds: int) -> None:
    """The next question may take so much time of a processor: the kernel ends the process after that."""
    used = time.process_time()
    resource.setrlimit(resource.RLIMIT_CPU, (int(used) + seconds + 1, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _resident() -> int:
    return _statm(1)


def _statm(field: int) -> int:
    with open("/proc/self/statm", "rb") as file:  # noqa: PTH123  # a quarter of the time of a Path
        return int(file.read().split()[field]) * _PAGE


def _question(door: socket.socket) -> tuple[int, list[bytes]] | None:
    head = door.recv(QUESTION.size, socket.MSG_WAITALL)
    if len(head) < QUESTION.size:
        return None
    count, seconds = QUESTION.unpack(head)
    lengths = LENGTH.iter_unpack(door.recv(LENGTH.size * count, socket.MSG_WAITALL))
    return seconds, [door.recv(length, socket.MSG_WAITALL) if length else b"" for (length,) in lengths]


def _tell(door: socket.socket, head: bytes, answer: bytes) -> None:
    sent = door.sendmsg([head, answer])
    if sent < len(head) + len(answer):
        door.sendall(memoryview(answer)[sent - len(head) :])


if __name__ == "__main__":
    main()
