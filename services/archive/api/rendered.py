"""Rendered resources and thumbnails of WADO-RS (PS3.18 10.4.1.1.3, 10.4.1.1.4)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Final
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request, Response
from starlette.responses import StreamingResponse

from services.archive import content
from services.archive.api.asking import known_to, ranges_of, resource_of
from services.archive.errors import InvalidQuery, NoSuchFrame, NotRenderable
from services.archive.handlers import rendered as handlers
from services.archive.handlers.recording import Accesses
from services.archive.images import Files, Images
from services.archive.model import Located, Resource, etag
from services.archive.ports import Answers, Index, Objects, Places, Renderer
from services.archive.sending import PRIVATE
from services.archive.showing import UNSHOWABLE, Form, Note, Shot, form_of, loop, parts
from services.chassis import http
from services.chassis.http import Direct
from services.chassis.principal import Principal
from services.dicom.multipart import PART_TAIL, closing, new_boundary, part_head, related
from services.pixels.rendering import view as views
from services.pixels.rendering.job import Job
from services.pixels.rendering.view import InvalidParameter, MediaType, View
from services.store.model import InstanceRow

_DRAWING: Final = 1
"""Goes up when the same request gives another image, so that clients do not keep the old one."""

_METHODS: Final = ["GET", "HEAD"]


class Rendered:
    """The rendered resources of studies, series, instances and frames, and their thumbnails.

    Args:
        places: where instances lie.
        accesses: where each image that goes out is noted.
        answers: images that went out before.
        files: says where an object is a local file, which a worker can read by itself.
        fonts: files to write annotations with, best first.
        public_url: address of the edge, for clients whose Host header has no port.
        root: path of the service.
    """

    def __init__(
        self,
        *,
        index: Index,
        places: Places,
        accesses: Accesses,
        answers: Answers,
        objects: Objects,
        renderer: Renderer,
        files: Files,
        fonts: Sequence[str] = (),
        public_url: str = "",
        root: str = "/dicom-web",
    ) -> None:
        self._index = index
        self._places = places
        self._attributes = handlers.Attributes(index=index)
        self._accesses = accesses
        self._answers = answers
        self._renderer = renderer
        self._images = partial(Images, objects=objects, renderer=renderer, fonts=fonts, files=files)
        self._public_url = public_url
        self._root = root
        study = f"{root}/studies/{{study}}"
        series = f"{study}/series/{{series}}"
        instance = f"{series}/instances/{{instance}}"
        frames = f"{instance}/frames/{{frames}}"
        self._routes = (
            *((f"{path}/rendered", self.instance) for path in (instance, frames)),
            *((f"{path}/rendered", self.collection) for path in (study, series)),
            *((f"{path}/thumbnail", self.thumbnail) for path in (study, series, instance, frames)),
        )

    def router(self) -> APIRouter:
        """The routes."""
        routes = APIRouter()
        for path, answer in self._routes:
            routes.add_api_route(path, answer, methods=_METHODS)
        return routes

    def direct(self) -> list[Direct]:
        """Those that a viewer asks for by the dozen."""
        return [Direct(path, answer) for path, answer in self._routes if answer != self.collection]

    async def collection(self, request: Request) -> Response:
        """All images of a study or series, a part each."""
        resource, caller = resource_of(request), http.caller(request)
        async with handlers.recorded(resource, "rendered", accesses=self._accesses, caller=caller):
            form = form_of(ranges_of(request), several=True, still=False, moving=False)
            view, warnings = _rendered_view(request, form)
            shown, others = await handlers.images(resource, index=self._index)
            if not shown:
                raise NotRenderable
        headers = _headers(etag(resource.path, form, view, *(row.digest for row in shown), _DRAWING), warnings)
        if known_to(request)(headers["ETag"]):
            await self._accesses.note(resource, "rendered", caller=caller)
            return Response(status_code=304, headers=headers)
        made = self._shots(shown, view, f"{http.origin(request, self._public_url)}{self._root}")
        # Where some of what is named is no image, the answer is a part of it (PS3.18 Table 10.4.3-1).
        return _streamed(
            request, partial(parts, made, form, self._noting(caller)), form, headers, 206 if others else 200
        )

    async def instance(self, request: Request) -> Response:
        """An instance or some of its frames."""
        resource, caller = resource_of(request), http.caller(request)
        note = self._noting(caller)
        async with handlers.recorded(resource, "rendered", accesses=self._accesses, caller=caller):
            listed = _listed(request)
            _rendered_view(request, Form(MediaType.JPEG))  # refused before anything is looked up
            located = await handlers.locate(resource, places=self._places)
            images = await self._opened(located)
            numbers = _numbers(listed, images)
            form = form_of(ranges_of(request), several=len(numbers) > 1, still=not listed, moving=True)
            view, warnings = _rendered_view(request, form)
            headers = _headers(etag(located.digest, form, view, listed, _DRAWING), warnings)
            known = known_to(request)(headers["ETag"])
            if not known and form.multipart:
                base = f"{http.origin(request, self._public_url)}{self._root}"
                shots = _later(_frames(resource, images, numbers, view, base))
                return _streamed(request, partial(parts, shots, form, note), form, headers)
            number = numbers[0] if listed or form.moving else images.middle
            first = b"" if known else await self._made(headers["ETag"], partial(images.image, number, view))
        await note(resource, len(first))
        if known:
            return Response(status_code=304, headers=headers)
        if form.moving:
            body = loop(images, numbers, view, first, partial(note, resource))
            return StreamingResponse(body if request.method == "GET" else _nothing(), 200, headers, form.media_type)
        return Response(first, 200, headers, form.media_type)

    async def thumbnail(self, request: Request) -> Response:
        """One small image that stands for whatever the path names."""
        resource, caller = resource_of(request), http.caller(request)
        async with handlers.recorded(resource, "thumbnail", accesses=self._accesses, caller=caller):
            form = form_of(ranges_of(request), several=False, still=True, moving=False)
            view, listed = _thumbnail_view(request, form), _listed(request)
            found = await handlers.representative(resource, index=self._index, places=self._places)
            images = await self._opened(found.located) if found.located else None
            label = (images.modality if images else "") or found.modality
            shown = images if images and images.telling else None
            headers = _headers(etag(found.located.digest if found.located else label, form, view, listed, _DRAWING))
            known = known_to(request)(headers["ETag"])
            make = partial(self._small, shown, listed, label, view)
            body = b"" if known else await self._made(headers["ETag"], make)
        seen = found.located.resource if found.located else resource
        await self._accesses.note(seen, "thumbnail", caller=caller, frames=1 if shown else 0, size=len(body))
        if known:
            return Response(status_code=304, headers=headers)
        if form.multipart:
            boundary = new_boundary()
            whole = b"".join((part_head(boundary, form.media_type), body, PART_TAIL, closing(boundary)))
            return Response(whole, 200, headers, related(form.media_type, boundary))
        return Response(body, 200, headers, form.media_type)

    async def _made(self, tag: str, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """An image that went out before under this tag, or a new one: the same tag is the same image for ever."""
        made = self._answers.get(tag)
        if made is None:
            made = await make()
            self._answers.put(tag, made)
        return made

    async def _small(self, images: Images | None, listed: Sequence[int], label: str, view: View) -> bytes:
        """The thumbnail; what stands for it where there is none."""
        if images is not None:
            numbers = _numbers(listed, images)
            try:
                if listed:
                    return await images.image(numbers[len(numbers) // 2], view)
                return await images.overview(view)
            except UNSHOWABLE:
                pass  # a viewer breaks without a thumbnail, and the label is one
        return await self._renderer.image(Job(view, label=label))

    async def _opened(self, located: Located) -> Images:
        return self._images(located, await self._attributes.of(located))

    async def _shots(self, rows: Sequence[InstanceRow], view: View, base: str) -> AsyncIterator[Shot]:
        for row in rows:
            resource = Resource(row.study_instance_uid, row.series_instance_uid, row.sop_instance_uid)
            images = await self._opened(await handlers.locate(resource, places=self._places))
            for shot in _frames(resource, images, range(1, images.count + 1), view, base):
                yield shot

    def _noting(self, caller: Principal) -> Note:
        async def note(resource: Resource, size: int) -> None:
            await self._accesses.note(resource, "rendered", caller=caller, frames=1, size=size)

        return note


def _listed(request: Request) -> tuple[int, ...]:
    """The frames that the path names; none where it names none."""
    text = request.path_params.get("frames")
    return tuple(content.frame_numbers(text)) if text is not None else ()


def _numbers(listed: Sequence[int], images: Images) -> Sequence[int]:
    if images.count == 0:
        raise NotRenderable
    if listed and max(listed) > images.count:
        raise NoSuchFrame
    return listed or range(1, images.count + 1)


def _frames(resource: Resource, images: Images, numbers: Sequence[int], view: View, base: str) -> Iterator[Shot]:
    for number in numbers:
        yield resource, f"{base}/{resource.path}/frames/{number}/rendered", partial(images.image, number, view)


async def _later(shots: Iterable[Shot]) -> AsyncIterator[Shot]:
    for shot in shots:
        yield shot


def _streamed(
    request: Request,
    body: Callable[[str], AsyncIterator[bytes]],
    form: Form,
    headers: dict[str, str],
    status: int = 200,
) -> Response:
    """Parts, made while they are sent; for HEAD, none is made."""
    boundary = new_boundary()
    content = body(boundary) if request.method == "GET" else _nothing()
    return StreamingResponse(content, status, headers, related(form.media_type, boundary))


async def _nothing() -> AsyncIterator[bytes]:
    none: tuple[bytes, ...] = ()
    for each in none:
        yield each


def _headers(tag: str, warnings: Sequence[str] = ()) -> dict[str, str]:
    return {**PRIVATE, "ETag": tag} | ({"Warning": f'299 plexus "{warnings[0]}"'} if warnings else {})


def _rendered_view(request: Request, form: Form) -> tuple[View, tuple[str, ...]]:
    return _read_rendered(request.scope["query_string"], form.media_type)


def _thumbnail_view(request: Request, form: Form) -> View:
    return _read_thumbnail(request.scope["query_string"], form.media_type)


@lru_cache(maxsize=1024)
def _read_rendered(query: bytes, media_type: MediaType) -> tuple[View, tuple[str, ...]]:
    try:
        view, warnings = views.rendered_view(_parameters(query))
        return view.written_as(media_type), warnings
    except InvalidParameter as invalid:
        raise InvalidQuery(invalid.name) from None


@lru_cache(maxsize=1024)
def _read_thumbnail(query: bytes, media_type: MediaType) -> View:
    try:
        return views.thumbnail_view(_parameters(query)).written_as(media_type)
    except InvalidParameter as invalid:
        raise InvalidQuery(invalid.name) from None


def _parameters(query: bytes) -> list[tuple[str, str]]:
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True)
