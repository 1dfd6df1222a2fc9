"""What a worker does for faces: frames in large pixels, and frames without a face. Only a worker imports it."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from services.anonymise.burned_in.frames import Pictures
from services.anonymise.burned_in.masking import black
from services.anonymise.burned_in.question import Answer, Question
from services.anonymise.defacing.asking import packed
from services.anonymise.defacing.placing import Frame
from services.pixels.decoding import Decoded
from services.pixels.faces import Cut, coarse


def survey(parameters: bytes, data: Sequence[bytes]) -> bytes:
    """All frames in large pixels, in the units of their series.

    Raises:
        PixelError: they cannot be decoded.
    """
    question: Question
    frames: Sequence[Frame]
    question, frames = pickle.loads(parameters)  # noqa: S301  # made on the side that is trusted
    decoded = Pictures(question, data).decoded(range(1, question.frames + 1))
    made = []
    for frame, (_, one) in zip(frames, decoded, strict=True):
        small = coarse(one.array, frame.plane)
        made.append(small._replace(values=small.values * np.float32(frame.slope) + np.float32(frame.intercept)))
    return packed(made)


def deface(parameters: bytes, data: Sequence[bytes]) -> bytes:
    """All frames with air in the place of what is cut away.

    Raises:
        PixelError: they cannot be decoded.
    """
    question: Question
    frames: Sequence[Frame]
    cut: Cut
    question, frames, cut = pickle.loads(parameters)  # noqa: S301  # as above
    described = question.description

    def edited(number: int, one: Decoded) -> Decoded:
        array = one.array.copy()
        array[cut.taken(frames[number - 1].plane, described.rows, described.columns)] = black(one)
        return replace(one, array=array)

    return Pictures(question, data).encoded(edited, Answer(())).packed()
