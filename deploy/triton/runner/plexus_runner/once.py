"""A package without Triton: `python -m plexus_runner.once PACKAGE FOLDER`. The folder has volume.npy, job.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from plexus_runner import beside
from plexus_runner.packages import runner_of
from plexus_runner.refusals import Refused


def main() -> None:
    """Run the package once; the answer is answer.npz, a refusal the last line of what is written to standard error."""
    package, folder = Path(sys.argv[1]), Path(sys.argv[2])
    job = json.loads((folder / "job.json").read_text())
    volume = np.load(folder / "volume.npy", mmap_mode="r")
    try:
        runner = runner_of(package, job["card"])
        more = beside.read(folder)
        answer = runner.run(volume, np.array(job["spacing"], np.float64), np.array(job["direction"]), more)
    except Refused as error:
        sys.exit(str(error))
    with (folder / "answer.npz").open("wb") as file:
        np.savez(file, **answer)  # type: ignore[arg-type]  # the names are those of outputs


if __name__ == "__main__":
    main()
