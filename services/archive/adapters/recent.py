"""Answers as they went out last, in memory: the metadata of a series, packed or not."""

from __future__ import annotations

from collections import OrderedDict

_ENTRY_BYTES = 500
"""About what an answer takes beside its bytes."""


class RecentAnswers:
    """`Answers` that remember up to `max_bytes`."""

    def __init__(self, *, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._recent: OrderedDict[str, bytes] = OrderedDict()

    def get(self, etag: str) -> bytes | None:
        """See `Answers.get`."""
        body = self._recent.get(etag)
        if body is not None:
            self._recent.move_to_end(etag)
        return body

    def put(self, etag: str, body: bytes) -> None:
        """See `Answers.put`."""
        before = self._recent.pop(etag, None)
        if before is not None:
            self._bytes -= len(before) + _ENTRY_BYTES
        self._recent[etag] = body
        self._bytes += len(body) + _ENTRY_BYTES
        while self._bytes > self._max_bytes:
            _, forgotten = self._recent.popitem(last=False)
            self._bytes -= len(forgotten) + _ENTRY_BYTES
