"""What `plexus model new` writes: a package that works as it is, for an author to change."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from services.launcher.errors import LauncherError

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

_CARD: Final = """\
name: {name}
version: "0.1.0"
title: {title}
author: "who answers for it"
licence: "which licence"
intended_use: Research. Not for clinical use.
description: >-
  What it does, on what it was tried, and where it fails.
task: volume-segmentation
# Which series it runs on, as CEL over DICOM keywords: https://cel.dev, docs/models.md.
selection: 'series.Modality == "CT" && series.instances >= 20'
input: {{kind: volume, tensor: volume, units: HU}}
outputs:
  labels: {{tensor: labels}}
  measurements: {{tensor: measurements}}
labels:
  - value: 1
    name: Bright
    category: {{code: "91723000", scheme: SCT, meaning: Anatomical Structure}}
    type: {{code: "272673000", scheme: SCT, meaning: Bone}}
    colour: [241, 214, 145]
measurements:
  - name: volume
    quantity: {{code: "118565006", scheme: SCT, meaning: Volume}}
    unit: {{code: mL, scheme: UCUM, meaning: milliliter}}
timeout_seconds: 120
"""

_REQUIREMENTS: Final = """\
# What the code imports is Triton's: NumPy 1.26, SciPy, ONNX Runtime. To have other packages, or other versions, name
# them here (NumPy must be among them), and make the lock file:
#
#   plexus model lock {folder}
#
# which is: uv pip compile requirements.in --universal --generate-hashes --python-version 3.10 --only-binary :all: \\
#               --no-emit-index-url -o requirements.lock
#
# With requirements.lock the code runs in an environment of its own, without network, within code.memory_mb and
# timeout_seconds of the card, in a process of its own for each request: see docs/models.md.
numpy
"""

_MODEL: Final = '''\
"""The Triton side. The tensors are described in models/README.md."""

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """What Triton calls."""

    def execute(self, requests):
        """Answer each request."""
        return [self._answer(request) for request in requests]

    def _answer(self, request):
        # Hounsfield units, planes x rows x columns
        volume = pb_utils.get_input_tensor_by_name(request, "volume").as_numpy()
        spacing = pb_utils.get_input_tensor_by_name(request, "spacing").as_numpy()  # mm between planes, rows, columns
        labels = (volume > 300).astype(np.uint8)  # put your model here
        millilitres = labels.sum() * spacing.prod() / 1000
        return pb_utils.InferenceResponse(
            [
                pb_utils.Tensor("labels", labels),
                pb_utils.Tensor("measurements", np.array([[millilitres]], np.float32)),
            ]
        )
'''


def write(folder: Path) -> None:
    """Write a package into a new folder.

    Raises:
        LauncherError: the folder is there, or its name is not one for a model.
    """
    import numpy as np  # late: `--help` needs none of it

    if not _NAME.fullmatch(folder.name):
        raise LauncherError(
            f"{folder.name} is no name for a model: small letters, digits and hyphens, such as liver-ct"
        )
    if folder.exists():
        raise LauncherError(f"{folder} is there already")
    code, case = folder / "triton" / "1", folder / "tests" / "ball"
    code.mkdir(parents=True)
    case.mkdir(parents=True)
    title = folder.name.replace("-", " ").capitalize()
    (folder / "model.yaml").write_text(_CARD.format(name=folder.name, title=title), encoding="utf-8")
    (folder / "requirements.in").write_text(_REQUIREMENTS.format(folder=folder), encoding="utf-8")
    (code / "model.py").write_text(_MODEL, encoding="utf-8")

    planes, rows, columns = np.ogrid[:24, :48, :48]
    ball = ((planes - 12) * 2) ** 2 + (rows - 24) ** 2 + (columns - 24) ** 2 < 15**2
    spacing = np.array([2.0, 1.0, 1.0])
    np.savez_compressed(
        case / "input.npz",
        volume=np.where(ball, 700, -1000).astype(np.int16),
        spacing=spacing,
        direction=np.eye(3),
    )
    np.savez_compressed(
        case / "expected.npz",
        labels=ball.astype(np.uint8),
        measurements=np.array([[ball.sum() * spacing.prod() / 1000]], np.float32),
    )
    (case / "tolerance.yaml").write_text(
        "dice: 0.99       # of each label, at least\nrelative: 0.01   # of each number\n"
    )
