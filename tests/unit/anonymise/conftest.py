"""Worker processes, one set a session; and whether they can read."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

from services.anonymise.burned_in.workers import Workers


@pytest.fixture(scope="session")
def workers() -> Iterator[Workers]:
    """Two worker processes."""
    made = Workers(count=2, memory_bytes=3 * 1024**3, seconds=120)
    yield made
    made.close()


@pytest.fixture(scope="session")
def reading(workers: Workers) -> Workers:
    """Worker processes that can read text; a test that needs them is skipped, and says so, where they cannot."""
    if find_spec("rapidocr") is None:
        pytest.skip("the text reader (rapidocr) is not installed")
    return workers
