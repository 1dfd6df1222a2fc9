"""Hostile bytes hurt nobody: workers crash, hang and grow, are lost and replaced, and all others get their answers."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import pytest_asyncio

from services.archive.adapters.pixels import WorkerDecoder
from services.archive.adapters.workers import Workers, WorkRefused
from services.archive.errors import NotDecodable, PixelsBusy, TooMuch, http_status
from services.archive.work import Work
from services.archive.worker import confine
from services.chassis.log import Log
from services.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN
from services.pixels import syntaxes
from services.pixels.decoding import Decoded
from services.pixels.description import Description
from services.pixels.encoding import encode
from services.pixels.syntaxes import ABILITIES
from tests.unit.pixels.images import named

LOG = Log("test")
MEMORY = 256 * 1024**2
WIDE = Description(15000, 15000)
SLOW = Description(2048, 2048)
FUZZED = 40
"""Hostile variants of each codestream."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def workers() -> AsyncIterator[Workers]:
    """A pool of two."""
    pool = Workers(count=2, memory_bytes=MEMORY, seconds=2, log=LOG)
    yield pool
    await pool.close()


@pytest.fixture
def decoder(workers: Workers) -> WorkerDecoder:
    """The archive's decoder on that pool."""
    return WorkerDecoder(workers, most_bytes=MEMORY // 2)


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """Empty code blocks all over a large image: some kilobytes that take half a gigabyte and seconds."""
    made = encode(Decoded(np.zeros((WIDE.rows, WIDE.columns), np.uint16), "MONOCHROME2"), syntaxes.HTJ2K, WIDE).data
    assert len(made) < 2**20
    return made


def children() -> list[psutil.Process]:
    """The worker processes of this one; not those that have ended and are not yet missed."""
    return [
        child
        for child in psutil.Process().children()
        if child.status() != psutil.STATUS_ZOMBIE and "services.archive.worker" in child.cmdline()
    ]


async def still_right(decoder: WorkerDecoder) -> None:
    """The pool answers, and with the right pixels."""
    encoded, native = named("MR_small_jp2klossless.dcm"), named("MR_small.dcm")
    found = await decoder.frame(next(encoded.frames()), encoded.syntax, encoded.parsed.metadata)
    assert found == next(native.frames())


def codestreams() -> list[tuple[str, Description, bytes]]:
    """A grey and a colour image in each transfer syntax that is encapsulated."""
    grey = (np.add.outer(np.arange(64), np.arange(64)) * 7 % 251).astype(np.uint8)
    kinds = (
        (Decoded(grey, "MONOCHROME2"), Description(64, 64, 1, 8, 8)),
        (Decoded(np.stack([grey, grey.T, 255 - grey], -1), "RGB"), Description(64, 64, 3, 8, 8, photometric="RGB")),
    )
    return [
        (uid, description, encode(decoded, uid, description).data)
        for uid, ability in ABILITIES.items()
        if ability.encodes and not syntaxes.native(uid)
        for decoded, description in kinds
    ]


def hostile(data: bytes, chance: random.Random) -> bytes:
    """Cut, lied about in its headers, or overwritten."""
    made = bytearray(data)
    match chance.randrange(3):
        case 0:
            return bytes(made[: chance.randrange(len(made))])
        case 1:
            for _ in range(chance.randrange(1, 6)):
                made[chance.randrange(min(len(made), 120))] = chance.randrange(256)
        case _:
            at = chance.randrange(len(made))
            made[at : at + chance.randrange(64)] = chance.randbytes(chance.randrange(64))
    return bytes(made)


@pytest.mark.parametrize(("uid", "description", "data"), codestreams())
async def test_hostile_codestreams_are_refused_or_decoded_and_nothing_else(
    uid: str, description: Description, data: bytes, decoder: WorkerDecoder
) -> None:
    chance = random.Random(uid)
    asked = [decoder.made(hostile(data, chance), uid, EXPLICIT_LITTLE_ENDIAN, description) for _ in range(FUZZED)]
    for answer in await asyncio.gather(*asked, return_exceptions=True):
        if isinstance(answer, BaseException):
            assert isinstance(answer, NotDecodable | TooMuch)
        else:
            assert len(answer) == description.decoded_bytes
    await still_right(decoder)


async def killed_at_work(decoder: WorkerDecoder) -> bytes:
    """A frame that takes a second, whose worker gets a segmentation fault meanwhile."""
    noise = np.random.default_rng(0).bytes(SLOW.decoded_bytes)
    idle = {child.pid: child.cpu_times().user for child in children()}
    asked = asyncio.ensure_future(decoder.made(noise, EXPLICIT_LITTLE_ENDIAN, syntaxes.JPEG_2000, SLOW))
    while not asked.done():
        await asyncio.sleep(0.005)
        for child in children():
            if child.pid in idle and child.cpu_times().user > idle[child.pid] + 0.05:
                child.send_signal(signal.SIGSEGV)
                return await asked
    raise AssertionError("the frame was made before its worker could be ended")


async def test_a_frame_that_ends_a_fresh_worker_cannot_be_decoded() -> None:
    pool = Workers(count=1, memory_bytes=2 * 1024**3, seconds=20, log=LOG)
    decoder = WorkerDecoder(pool, most_bytes=2**30)
    await pool.start()
    with pytest.raises(NotDecodable) as refused:
        await killed_at_work(decoder)
    assert http_status(refused.value) == 406
    await still_right(decoder)
    await pool.close()


async def test_a_frame_whose_worker_was_broken_by_an_earlier_one_is_asked_of_another() -> None:
    pool = Workers(count=1, memory_bytes=2 * 1024**3, seconds=20, log=LOG)
    decoder = WorkerDecoder(pool, most_bytes=2**30)
    await still_right(decoder)
    assert len(await killed_at_work(decoder)) > 0
    await pool.close()


async def test_a_worker_that_is_killed_while_idle_is_not_missed(decoder: WorkerDecoder) -> None:
    await still_right(decoder)
    for child in children():
        child.kill()
        child.wait()
    await still_right(decoder)


async def test_a_frame_that_takes_more_memory_than_there_is_is_too_much(decoder: WorkerDecoder) -> None:
    huge = Description(60000, 60000)
    with pytest.raises(TooMuch):
        await decoder.made(b"\xff\x4f\xff\x51", syntaxes.JPEG_2000, EXPLICIT_LITTLE_ENDIAN, huge)
    await still_right(decoder)


async def test_the_kernel_keeps_a_worker_from_taking_more_memory_than_it_may(workers: Workers, bomb: bytes) -> None:
    greedy = WorkerDecoder(workers, most_bytes=2**40)
    with pytest.raises((TooMuch, NotDecodable)):
        await greedy.made(bomb, syntaxes.HTJ2K, EXPLICIT_LITTLE_ENDIAN, WIDE)
    await still_right(greedy)


async def test_workers_do_not_grow(workers: Workers) -> None:
    decoder = WorkerDecoder(workers, most_bytes=MEMORY)
    described = Description(2048, 2048)
    asked = (bytes(described.decoded_bytes), EXPLICIT_LITTLE_ENDIAN, syntaxes.HTJ2K_LOSSLESS, described)
    await asyncio.gather(*(decoder.made(*asked) for _ in range(8)))
    before = sum(child.memory_info().rss for child in children())
    await asyncio.gather(*(decoder.made(*asked) for _ in range(32)))
    assert sum(child.memory_info().rss for child in children()) < before + MEMORY // 4


async def test_who_takes_too_long_is_ended_and_the_others_are_served_meanwhile(bomb: bytes) -> None:
    pool = Workers(count=2, memory_bytes=2 * 1024**3, seconds=1, log=LOG)
    decoder = WorkerDecoder(pool, most_bytes=2**30)
    slow = asyncio.ensure_future(decoder.made(bomb, syntaxes.HTJ2K, syntaxes.JPEG_2000, WIDE))
    for _ in range(20):
        await still_right(decoder)
    with pytest.raises(NotDecodable):
        await slow
    await still_right(decoder)
    await pool.close()


async def test_a_question_beyond_all_that_wait_is_refused_for_now(decoder: WorkerDecoder) -> None:
    pool = Workers(count=1, memory_bytes=MEMORY, seconds=2, log=LOG, most_waiting=2)
    crowded = WorkerDecoder(pool, most_bytes=MEMORY)
    answers = await asyncio.gather(*(still_right(crowded) for _ in range(9)), return_exceptions=True)
    assert any(isinstance(answer, PixelsBusy) for answer in answers)
    assert answers[0] is None
    await pool.close()


async def test_who_goes_away_leaves_the_worker_to_the_next_one(decoder: WorkerDecoder) -> None:
    await still_right(decoder)
    before = {child.pid for child in children()}
    for _ in range(5):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await still_right(decoder)
    await still_right(decoder)
    assert before & {child.pid for child in children()}


async def test_a_refusal_crosses_by_its_word_alone(workers: Workers) -> None:
    with pytest.raises((WorkRefused, NotDecodable)):
        await workers.call(Work.RENDER, b"nonsense")
    with pytest.raises(NotDecodable):
        await workers.call(Work.FRAME, b"nonsense", (b"",))
    with pytest.raises(NotDecodable):
        await workers.call(Work.HEADER, b"{}", (b"", b""))


async def test_workers_have_neither_secrets_nor_descriptors_nor_privileges(
    decoder: WorkerDecoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLEXUS_ARCHIVE_DATABASE_URL", "secret")
    pool = Workers(count=1, memory_bytes=MEMORY, seconds=2, log=LOG)
    known = {child.pid for child in children()}
    await still_right(WorkerDecoder(pool, most_bytes=MEMORY))
    (worker,) = [child for child in children() if child.pid not in known]
    status = Path(f"/proc/{worker.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status
    assert not any(name.startswith("PLEXUS_") for name in worker.environ())
    assert {int(each.name) for each in Path(f"/proc/{worker.pid}/fd").iterdir()} <= {0, 1, 2}
    assert worker.nice() == min(psutil.Process().nice() + 5, 19)
    await pool.close()
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE


def test_a_worker_ends_with_its_service() -> None:
    """It does so also when the service is killed."""
    program = (
        "import asyncio, os, signal\n"
        "from services.archive.adapters.workers import Workers\n"
        "from services.chassis.log import Log\n"
        "async def main():\n"
        "    pool = Workers(count=1, memory_bytes=2**28, seconds=2, log=Log('x'))\n"
        "    await pool.start()\n"
        "    print(pool._idle[0]._process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(int(done.stdout)).wait(30)


def test_the_service_itself_imports_no_codec_of_ours() -> None:
    """What decodes is imported by workers only."""
    program = (
        "import sys, services.archive.bootstrap\n"
        "print(sorted({'imagecodecs', 'services.pixels.decoding', 'services.pixels.encoding', "
        "'services.archive.pixel_work'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_memory_beyond_what_a_question_may_take_is_refused_by_the_kernel() -> None:
    program = (
        f"from {confine.__module__} import confine\n"
        f"confine({MEMORY})\n"
        "try: bytearray(2**29)\n"
        "except MemoryError: print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "refused"
