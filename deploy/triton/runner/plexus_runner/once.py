"""A package without Triton: `python -m plexus_runner.once PACKAGE FOLDER`.

The folder has `job.json`, the card and the names of further inputs, and `tensors.npz`, the tensors by their names.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from plexus_runner.packages import runner_of
from plexus_runner.question import Question
from plexus_runner.refusals import Refused


def main() -> None:
    """Run the package once; the answer is answer.npz, a refusal the last line of what is written to standard error."""
    package, folder = Path(sys.argv[1]), Path(sys.argv[2])
    job = json.loads((folder / "job.json").read_text())
    with np.load(folder / "tensors.npz", allow_pickle=False) as tensors:
        question = Question.of(tensors, job["more"])
    try:
        answer = runner_of(package, job["card"]).run(question)
    except Refused as error:
        sys.exit(str(error))
    with (folder / "answer.npz").open("wb") as file:
        np.savez(file, **answer)  # type: ignore[arg-type]  # the names are those of outputs


if __name__ == "__main__":
    main()
