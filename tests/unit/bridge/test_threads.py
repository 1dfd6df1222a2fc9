"""The way from a thread into the event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from services.bridge.adapters.threads import Inbox, Transfer
from services.bridge.errors import AbandonedError
from services.bridge.model import Announced, Answer

ANNOUNCED = Announced("1.2", "1.2.3", "1.2.840.10008.1.2.1")


def make(chunk_bytes: int = 4, header: bytes = b"") -> Transfer:
    return Transfer(asyncio.get_running_loop(), ANNOUNCED, header, chunk_bytes=chunk_bytes)


async def read(transfer: Transfer) -> list[bytes]:
    return [chunk async for chunk in transfer.file()]


async def test_bytes_arrive_in_order_in_chunks_behind_the_header() -> None:
    transfer = make(header=b"he")

    def send() -> None:
        for part in (b"ader", b"123456", b"7"):
            transfer.write(part)
        transfer.finish()

    sending = asyncio.create_task(asyncio.to_thread(send))
    assert await read(transfer) == [b"head", b"er12", b"3456", b"7"]
    assert transfer.size == 13
    await sending


async def test_a_sender_waits_while_nobody_reads() -> None:
    transfer = make()
    done = threading.Event()

    def send() -> None:
        transfer.write(b"x" * 40)
        transfer.finish()
        done.set()

    sending = asyncio.create_task(asyncio.to_thread(send))
    await asyncio.sleep(0.2)
    assert not done.is_set()
    assert b"".join(await read(transfer)) == b"x" * 40
    await sending


async def test_a_sender_whose_instance_was_answered_early_does_not_wait_for_a_reader() -> None:
    transfer = make()

    def send() -> Answer:
        transfer.write(b"x" * 400)
        transfer.finish()
        return transfer.wait(10)

    sending = asyncio.create_task(asyncio.to_thread(send))
    await asyncio.sleep(0.05)
    transfer.answer(Answer(0xA700))
    assert await sending == Answer(0xA700)


async def test_an_abandoned_instance_is_no_complete_one() -> None:
    transfer = make()
    transfer.write(b"12345")
    transfer.abandon()
    transfer.finish()
    with pytest.raises(AbandonedError):
        await read(transfer)


async def test_no_answer_in_time_is_a_failure() -> None:
    assert (await asyncio.to_thread(make().wait, 0.01)).status == 0xA700


async def test_only_the_first_answer_counts() -> None:
    transfer = make()
    transfer.answer(Answer(0xA700))
    transfer.answer(Answer(0))
    assert transfer.wait(1).status == 0xA700


async def test_an_inbox_gives_its_instances_and_then_the_end() -> None:
    inbox = Inbox(asyncio.get_running_loop(), chunk_bytes=4, alive=lambda: True)
    first = inbox.begin(ANNOUNCED, b"", patience=1)
    first.finish()
    assert await inbox.next() is first
    inbox.close("released")
    inbox.close("aborted")
    assert await inbox.next() is None
    assert inbox.ending == "released"


async def test_the_end_of_an_association_abandons_what_is_not_complete() -> None:
    inbox = Inbox(asyncio.get_running_loop(), chunk_bytes=4, alive=lambda: True)
    transfer = inbox.begin(ANNOUNCED, b"", patience=1)
    transfer.write(b"half")
    inbox.close("aborted")
    with pytest.raises(AbandonedError):
        await read(transfer)


async def test_a_sender_that_does_not_wait_for_its_answer_waits_before_the_next_instance() -> None:
    inbox = Inbox(asyncio.get_running_loop(), chunk_bytes=4, alive=lambda: True)
    first = inbox.begin(ANNOUNCED, b"", patience=10)
    second = asyncio.create_task(asyncio.to_thread(inbox.begin, ANNOUNCED, b"", patience=10))
    await asyncio.sleep(0.05)
    assert not second.done()
    first.answer(Answer(0))
    assert await second is not first


async def test_an_association_whose_threads_died_without_a_word_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.bridge.adapters.threads._LOOK_SECONDS", 0.05)
    inbox = Inbox(asyncio.get_running_loop(), chunk_bytes=4, alive=lambda: False)
    assert await inbox.next() is None
    assert inbox.ending == "aborted"
