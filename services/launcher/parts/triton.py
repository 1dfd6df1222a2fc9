"""Triton, from its own virtual environment, with the packages of models/ and traces to the collector."""

from __future__ import annotations

import hashlib
from pathlib import Path

from services.launcher import repository
from services.launcher.errors import StartFailed
from services.launcher.parts import probes
from services.launcher.parts.program import Program, base_environment
from services.launcher.settings import HOST, REPOSITORY, Settings
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
        """Assembles the model repository."""
        self.tidy()
        names = repository.lay(REPOSITORY / "models", self._repository)
        installation = environment.installation()
        for folder in (self._repository, installation.backends):
            if " " in str(folder):  # the server hands paths on to its stubs in one string
                raise StartFailed(f"Triton cannot work in a folder with a space in its name: {folder}")
        ports = self._settings.ports
        traces = self._settings.url("collector") + "/v1/traces"
        arguments = [
            *("--model-repository", str(self._repository), "--backend-directory", str(installation.backends)),
            *("--model-control-mode=explicit", *(f"--load-model={name}" for name in names)),
            *("--http-address", HOST, "--http-port", str(ports["triton_http"])),
            *("--grpc-address", HOST, "--grpc-port", str(ports["triton_grpc"])),
            *("--metrics-address", HOST, "--metrics-port", str(ports["triton_metrics"])),
            "--allow-gpu-metrics=false",
            f"--backend-config=python,shm-region-prefix-name={self._region}",
            *("--trace-config", "mode=opentelemetry", "--trace-config", f"opentelemetry,url={traces}"),
            *("--trace-config", "rate=1", "--trace-config", "level=TIMESTAMPS"),
            *("--trace-config", "opentelemetry,resource=service.name=triton"),
            *("--trace-config", "opentelemetry,bsp_schedule_delay=500"),  # ms: soon enough to be looked at
            "--exit-timeout-secs=10",
        ]
        variables = base_environment()
        variables["PATH"] = f"{installation.bin}:{variables.get('PATH', '/usr/bin:/bin')}"
        variables["LD_LIBRARY_PATH"] = ":".join(str(folder) for folder in installation.libraries)
        variables["PYTHONDONTWRITEBYTECODE"] = "1"  # the model repository holds what was put there, no caches
        return Program((str(installation.server), *arguments), variables, orphan_signal=environment.ORPHAN_SIGNAL)

    async def ready(self) -> bool:
        """Whether the server and all its models are ready."""
        return await probes.http_status(self._settings.address("triton_http"), "/v2/health/ready") == 200

    def provision(self) -> None:
        """Nothing to do."""

    def tidy(self) -> None:
        """Removes the shared memory of stubs that died without doing so."""
        for region in _SHARED_MEMORY.glob(f"{self._region}*"):
            region.unlink(missing_ok=True)
