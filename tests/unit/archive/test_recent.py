import asyncio

from services.archive.adapters.behind import BehindDocuments
from services.archive.adapters.recent import RecentAnswers
from services.archive.errors import DatabaseUnavailable
from services.archive.model import Document


def test_an_answer_is_remembered_by_its_tag() -> None:
    answers = RecentAnswers(max_bytes=10_000)
    answers.put('"a"', b"body")
    assert answers.get('"a"') == b"body"
    assert answers.get('"b"') is None


def test_the_answers_asked_for_last_are_kept() -> None:
    answers = RecentAnswers(max_bytes=3000)
    for tag in "abc":
        answers.put(tag, bytes(500))
    answers.get("a")
    answers.put("d", bytes(500))
    assert [tag for tag in "abcd" if answers.get(tag) is not None] == ["a", "c", "d"]
    answers.put("d", bytes(400))
    assert [tag for tag in "abcd" if answers.get(tag) is not None] == ["a", "c", "d"]


def test_an_answer_that_is_too_large_is_not_kept() -> None:
    answers = RecentAnswers(max_bytes=3000)
    answers.put("a", bytes(5000))
    assert answers.get("a") is None
    answers.put("b", bytes(500))
    assert answers.get("b") is not None


class Kept:
    """The documents behind, which may be away."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], Document] = {}
        self.open = asyncio.Event()
        self.away = False

    async def get(self, study_instance_uid: str, series_instance_uid: str, change: int) -> Document | None:
        return self.documents.get((study_instance_uid, series_instance_uid))

    async def put(self, study_instance_uid: str, series_instance_uid: str, document: Document) -> None:
        await self.open.wait()
        if self.away:
            raise DatabaseUnavailable
        self.documents[study_instance_uid, series_instance_uid] = document


async def test_nobody_waits_until_a_document_is_kept() -> None:
    kept = Kept()
    documents = BehindDocuments(kept)
    await documents.put("1", "2", Document(3, b"[]"))
    assert await documents.get("1", "2", 3) is None
    kept.open.set()
    await documents.close()
    assert await documents.get("1", "2", 3) == Document(3, b"[]")


async def test_a_document_that_cannot_be_kept_is_no_fault() -> None:
    kept = Kept()
    kept.away = True
    kept.open.set()
    documents = BehindDocuments(kept)
    await documents.put("1", "2", Document(3, b"[]"))
    await documents.close()
    assert kept.documents == {}
