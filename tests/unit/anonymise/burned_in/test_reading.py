"""The reader of text finds print of every kind; all pictures and the figures are in `load_tests/burned_in.py`."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest

from load_tests.lettering import Case, background, cases
from services.anonymise.burned_in.reading import Reader

pytestmark = pytest.mark.skipif(find_spec("rapidocr") is None, reason="the text reader (rapidocr) is not installed")


@pytest.fixture(scope="module")
def reader() -> Reader:
    return Reader()


SOME = [case for case in cases() if "-1200-" not in case.what][::4]


@pytest.mark.parametrize("case", SOME, ids=lambda case: case.what)
def test_text_is_found_whole(reader: Reader, case: Case) -> None:
    hidden = np.zeros(case.letters.shape, bool)
    picture = case.array if case.array.ndim == 3 else np.repeat(case.array[..., None], 3, 2)
    for text in reader.read(picture):
        hidden[text.box.y : text.box.y + text.box.height, text.box.x : text.box.x + text.box.width] = True
    assert hidden[case.letters].all()


@pytest.mark.parametrize("kind", ["black", "white", "noise", "body"])
def test_where_there_is_no_text_none_is_found(reader: Reader, kind: str) -> None:
    assert reader.read(np.repeat(background(kind, 300, 300)[..., None], 3, 2)) == []
