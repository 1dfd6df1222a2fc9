"""The catalogue by HTTP: packages, versions, checks and their reports, and what is in use."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi import Path as InPath
from fastapi.responses import FileResponse
from pydantic import BaseModel

from services.catalogue import checking, handlers, shadowing
from services.catalogue.environments import EnvironmentState
from services.catalogue.errors import NoSuchModelError, PackageTooLargeError
from services.catalogue.model import Model, State, Version
from services.catalogue.ports import Environments, Models, ModelServer, Packages, Pictures, Runs
from services.catalogue.shadows import ShadowReport
from services.chassis import http
from services.chassis.principal import Principal

Name = Annotated[str, InPath(pattern=r"^[a-z][a-z0-9-]{0,63}$")]
VersionName = Annotated[str, InPath(pattern=r"^[0-9][0-9a-z.]{0,63}$")]
File = Annotated[str, InPath(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\.(png|npz|html|json)$")]
Caller = Annotated[Principal, Depends(http.caller)]


class VersionView(BaseModel):
    """A version as the outside sees it."""

    name: str
    version: str
    state: State
    active: bool
    title: str
    kind: str
    task: str
    digest: str
    owner: str
    made_at: datetime
    card: dict[str, Any]
    report: dict[str, Any] | None

    @classmethod
    def of(cls, version: Version, model: Model) -> VersionView:
        """The view of a version."""
        card = dict(version.card)
        return cls(
            name=version.name,
            version=version.version,
            state=version.state,
            active=version.version == model.active,
            title=str(card.get("title", "")),
            kind=str(card.get("kind", "triton")),
            task=str(card.get("task", "")),
            digest=version.digest,
            owner=version.owner,
            made_at=version.made_at,
            card=card,
            report=dict(version.report) if version.report is not None else None,
        )


class ModelView(BaseModel):
    """A model and its versions, newest first."""

    name: str
    active: str
    previous: str
    shadow: str
    versions: list[VersionView]

    @classmethod
    def of(cls, model: Model) -> ModelView:
        """The view of a model."""
        versions = [VersionView.of(version, model) for version in model.versions]
        named = {"active": model.active, "previous": model.previous, "shadow": model.shadow}
        return cls(name=model.name, versions=versions, **named)


class ModelsView(BaseModel):
    """Models, by name."""

    models: list[ModelView]


class ChangeView(BaseModel):
    """What was done to a model, when and by whom."""

    at: datetime
    version: str
    what: str
    who: str


class ChangesView(BaseModel):
    """Changes, newest first."""

    changes: list[ChangeView]


class EnvironmentView(BaseModel):
    """How far the environment is that a version has of its own."""

    state: EnvironmentState
    name: str
    packages: int
    seconds: float
    words: str


@dataclass(frozen=True, slots=True)
class Parts:
    """What the routes work with."""

    models: Models
    packages: Packages
    server: ModelServer
    environments: Environments
    pictures: Pictures
    runs: Runs
    package_max_bytes: int


def router(parts: Parts) -> APIRouter:
    """The routes."""
    routes = APIRouter(prefix="/catalogue", tags=["catalogue"])
    models, packages, server = parts.models, parts.packages, parts.server

    async def view(version: Version) -> VersionView:
        return VersionView.of(version, await handlers.get(version.name, models=models))

    @routes.get("/models")
    async def list_models() -> ModelsView:
        """All models with their versions."""
        return ModelsView(models=[ModelView.of(model) for model in await models.list()])

    @routes.get("/models/{name}")
    async def show_model(name: Name) -> ModelView:
        """A model with its versions."""
        return ModelView.of(await handlers.get(name, models=models))

    @routes.get("/models/{name}/changes")
    async def list_changes(name: Name) -> ChangesView:
        """What was done to a model, newest first."""
        await handlers.get(name, models=models)
        found = await models.changes(name)
        return ChangesView(
            changes=[ChangeView(at=one.at, version=one.version, what=one.what, who=one.who) for one in found]
        )

    @routes.post("/packages", status_code=201)
    async def upload(request: Request, caller: Caller) -> VersionView:
        """Bring a package: the body is a tar file (also gzip) with `model.yaml` at its top. It becomes a draft."""
        async with _received(request, parts.package_max_bytes) as archive:
            return await view(await handlers.upload(archive, principal=caller, models=models, packages=packages))

    @routes.get("/models/{name}/versions/{version}")
    async def show_version(name: Name, version: VersionName) -> VersionView:
        """A version, with its card and the report of its last check."""
        return await view(await handlers.find(name, version, models=models))

    @routes.post("/models/{name}/versions/{version}/check")
    async def check(name: Name, version: VersionName, caller: Caller) -> VersionView:
        """Run the package's own test cases on Triton. The answer comes when they have run."""
        return await view(
            await checking.check(
                name,
                version,
                principal=caller,
                models=models,
                packages=packages,
                server=server,
                pictures=parts.pictures,
            )
        )

    @routes.get("/models/{name}/versions/{version}/report/{file}")
    async def report(name: Name, version: VersionName, file: File) -> Response:
        """What the last check wrote: `report.html`, `report.json`, and for each case `<case>.png`, `<case>.npz`."""
        path = packages.reports(await handlers.find(name, version, models=models)) / file
        if not await asyncio.to_thread(path.is_file):
            raise NoSuchModelError("such file in the report")
        return FileResponse(path)

    @routes.get("/models/{name}/versions/{version}/environment")
    async def environment(name: Name, version: VersionName) -> EnvironmentView:
        """How far the environment of the package's lock file is: it is built by the first check."""
        chosen = await handlers.find(name, version, models=models)
        return EnvironmentView(**asdict(await parts.environments.progress(packages.folder(chosen))))

    _moves(routes, parts, view)
    _shadows(routes, parts)
    return routes


def _moves(routes: APIRouter, parts: Parts, view: Callable[[Version], Awaitable[VersionView]]) -> None:
    """What changes which version is in use."""
    models, packages, server = parts.models, parts.packages, parts.server

    @routes.post("/models/{name}/versions/{version}/publish")
    async def publish(name: Name, version: VersionName, caller: Caller) -> VersionView:
        """Let a version that has passed its check be used."""
        return await view(await handlers.publish(name, version, principal=caller, models=models))

    @routes.post("/models/{name}/versions/{version}/activate")
    async def activate(name: Name, version: VersionName, caller: Caller) -> ModelView:
        """Load a version, and run new jobs on it once it answers."""
        return ModelView.of(
            await handlers.activate(name, version, principal=caller, models=models, packages=packages, server=server)
        )

    @routes.post("/models/{name}/rollback")
    async def rollback(name: Name, caller: Caller) -> ModelView:
        """Go back to the version that was active before."""
        return ModelView.of(
            await handlers.rollback(name, principal=caller, models=models, packages=packages, server=server)
        )

    @routes.post("/models/{name}/versions/{version}/retire")
    async def retire(name: Name, version: VersionName, caller: Caller) -> VersionView:
        """Take a version out of use for good."""
        return await view(
            await handlers.retire(
                name,
                version,
                principal=caller,
                models=models,
                packages=packages,
                server=server,
                environments=parts.environments,
            )
        )


def _shadows(routes: APIRouter, parts: Parts) -> None:
    """A version that runs beside the active one, without results."""
    models, packages, server = parts.models, parts.packages, parts.server

    @routes.post("/models/{name}/versions/{version}/shadow")
    async def begin_shadow(name: Name, version: VersionName, caller: Caller) -> ModelView:
        """Load a version that has passed its check, and run it beside the active one on each input, without results."""
        return ModelView.of(
            await shadowing.begin(name, version, principal=caller, models=models, packages=packages, server=server)
        )

    @routes.delete("/models/{name}/shadow")
    async def end_shadow(name: Name, caller: Caller) -> ModelView:
        """Run no version beside the active one any more. The report stays."""
        return ModelView.of(await shadowing.end(name, principal=caller, models=models, server=server))

    @routes.get("/models/{name}/shadow")
    async def show_shadow(name: Name) -> ShadowReport:
        """How near the version that runs, or ran last, beside the active one is to it: Dice, Bland-Altman, classes."""
        return await shadowing.report(name, models=models, runs=parts.runs)


class _received:  # noqa: N801  # used like a function
    """The body of a request in a file, until the context ends."""

    def __init__(self, request: Request, max_bytes: int) -> None:
        self._request = request
        self._max_bytes = max_bytes
        self._folder = tempfile.TemporaryDirectory(prefix="plexus-package-")

    async def __aenter__(self) -> Path:
        path = Path(self._folder.name) / "package.tar"
        size = 0
        with path.open("wb") as file:  # the page cache takes it
            async for chunk in self._request.stream():
                size += len(chunk)
                if size > self._max_bytes:
                    self._folder.cleanup()
                    raise PackageTooLargeError
                file.write(chunk)
        return path

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self._folder.cleanup)
