"""Triton, from its own virtual environment, with the models that the catalogue gives it.

It does not trace: its OpenTelemetry mode ends the server under load (ADR 19). `inference` writes its times.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from services.launcher.errors import StartFailed
from services.launcher.parts import probes
from services.launcher.parts.program import Program, base_environment
from services.launcher.settings import HOST, Settings
from services.launcher.setup import triton as environment

_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108  # where Linux keeps POSIX shared memory


class Triton:
    """`tritonserver` of the package nvidia-pytriton."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._repository = settings.data / "triton" / "models"
        # a prefix of our own: what dead stubs leave in shared memory can be told from other Tritons' regions
        digest = hashlib.sha256(str(settings.data).encode()).hexdigest()[:12]
        self._region = f"plexus_{digest}_region_"

    def prepare(self) -> Program:
        """Its command. It begins with no model: the catalogue lays and loads what is in use."""
        self.tidy()
        self._repository.mkdir(parents=True, exist_ok=True)
        installation = environment.installation()
        for folder in (self._repository, installation.backends):
            if " " in str(folder):  # the server hands paths on to its stubs in one string
                raise StartFailed(f"Triton cannot work in a folder with a space in its name: {folder}")
        ports = self._settings.ports
        arguments = [
            *("--model-repository", str(self._repository), "--backend-directory", str(installation.backends)),
            "--model-control-mode=explicit",
            *("--http-address", HOST, "--http-port", str(ports["triton_http"])),
            *("--grpc-address", HOST, "--grpc-port", str(ports["triton_grpc"])),
            *("--metrics-address", HOST, "--metrics-port", str(ports["triton_metrics"])),
            "--allow-gpu-metrics=false",
            f"--backend-config=python,shm-region-prefix-name={self._region}",
            "--exit-timeout-secs=10",
        ]
        variables = base_environment()
        variables["PATH"] = f"{installation.bin}:{variables.get('PATH', '/usr/bin:/bin')}"
        variables["LD_LIBRARY_PATH"] = ":".join(str(folder) for folder in installation.libraries)
        variables["PYTHONDONTWRITEBYTECODE"] = "1"  # the model repository holds what was put there, no caches
        return Program((str(installation.server), *arguments), variables, orphan_signal=environment.ORPHAN_SIGNAL)

    async def ready(self) -> bool:
        """Whether the server is ready. Its models are the catalogue's to wait for."""
        return await probes.http_status(self._settings.address("triton_http"), "/v2/health/ready") == 200

    def provision(self) -> None:
        """Nothing to do."""

    def tidy(self) -> None:
        """Removes the shared memory of stubs that died without doing so."""
        for region in _SHARED_MEMORY.glob(f"{self._region}*"):
            region.unlink(missing_ok=True)
