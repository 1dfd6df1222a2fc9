from services.archive.adapters.recent import RecentDocuments
from services.archive.model import Document


class Kept:
    """The documents behind, which count how often they are asked."""

    def __init__(self) -> None:
        self.documents: dict[tuple[str, str], Document] = {}
        self.asked = 0

    async def get(self, study_instance_uid: str, series_instance_uid: str, change: int) -> Document | None:
        self.asked += 1
        found = self.documents.get((study_instance_uid, series_instance_uid))
        return found if found and found.change == change else None

    async def put(self, study_instance_uid: str, series_instance_uid: str, document: Document) -> None:
        self.documents[study_instance_uid, series_instance_uid] = document


async def test_a_document_is_read_once_while_it_holds() -> None:
    kept = Kept()
    recent = RecentDocuments(kept, max_bytes=100)
    kept.documents["1", "2"] = Document(3, b"[]")

    assert await recent.get("1", "2", 3) == Document(3, b"[]")
    assert await recent.get("1", "2", 3) == Document(3, b"[]")
    assert kept.asked == 1


async def test_a_document_of_another_change_is_not_given() -> None:
    kept = Kept()
    recent = RecentDocuments(kept, max_bytes=100)
    await recent.put("1", "2", Document(3, b"old"))

    assert await recent.get("1", "2", 4) is None
    await recent.put("1", "2", Document(4, b"new"))
    assert await recent.get("1", "2", 4) == Document(4, b"new")
    assert await recent.get("1", "2", 3) is None


async def test_what_was_asked_for_longest_ago_is_forgotten_first() -> None:
    kept = Kept()
    recent = RecentDocuments(kept, max_bytes=25)
    for series in ("a", "b"):
        await recent.put("1", series, Document(1, b"0123456789"))
    await recent.get("1", "a", 1)
    await recent.put("1", "c", Document(1, b"0123456789"))

    await recent.get("1", "a", 1)
    await recent.get("1", "c", 1)
    assert kept.asked == 0
    await recent.get("1", "b", 1)
    assert kept.asked == 1


async def test_a_document_larger_than_all_the_room_is_passed_on_and_not_held() -> None:
    kept = Kept()
    recent = RecentDocuments(kept, max_bytes=5)
    await recent.put("1", "2", Document(1, b"0123456789"))
    assert await recent.get("1", "2", 1) == Document(1, b"0123456789")
    assert kept.asked == 1
