"""What the front door can do, by resource: the one table behind Allow and the Capabilities Description (PS3.18 H).

STOW-RS and deletion are ingest's, behind the same address: who asks for capabilities means the address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final
from xml.etree.ElementTree import Element, SubElement, tostring

_JSON: Final = ("application/dicom+json", "application/json")
_XML: Final = 'multipart/related; type="application/dicom+xml"'
_FILES: Final = ('multipart/related; type="application/dicom"; transfer-syntax=*', "application/dicom")
_BYTES: Final = ('multipart/related; type="application/octet-stream"; transfer-syntax=*', "application/octet-stream")
_IMAGES: Final = ("image/jpeg", "image/png", "image/gif", "image/webp")
_NAMESPACE: Final = "http://wadl.dev.java.net/2009/02"
_VARIABLE: Final = re.compile(r"\{[^}]+\}")
_SEARCHED: Final = ("limit", "offset", "fuzzymatching", "includefield", "{attributeID}")
_RENDERED: Final = ("window", "viewport", "quality", "annotation", "iccprofile")


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction of a resource, named as PS3.18 Table H-1 names it."""

    name: str
    method: str = "GET"
    accepts: tuple[str, ...] = _JSON
    sends: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource under the root of the service, and what can be done with it."""

    path: str
    transactions: tuple[Transaction, ...]
    pattern: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pattern", re.compile(_VARIABLE.sub("[^/]+", self.path)))

    @property
    def allow(self) -> tuple[str, ...]:
        """The methods, as the Allow header lists them."""
        methods = {each.method for each in self.transactions}
        return tuple(sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())))


def _search(what: str) -> Transaction:
    return Transaction(f"Search for {what}", accepts=(*_JSON, _XML), parameters=_SEARCHED)


def _store(name: str) -> Transaction:
    return Transaction(name, "POST", (*_JSON, _XML), tuple(f'multipart/related; type="application/dicom{kind}"'
                                                           for kind in ("", "+json", "+xml")))  # fmt: skip


def _level(what: str, path: str, *more: Transaction) -> Iterable[Resource]:
    yield Resource(path, (Transaction(f"Retrieve {what}", accepts=_FILES), *more,
                          Transaction(f"Delete {what}", "DELETE", accepts=())))  # fmt: skip
    metadata = Transaction(f"Retrieve {what} Metadata", accepts=(*_JSON, _XML))
    yield Resource(f"{path}/metadata", (metadata,))
    yield Resource(f"{path}/rendered", (Transaction(f"Retrieve Rendered {what}", "GET", _IMAGES, (), _RENDERED),))
    yield Resource(f"{path}/thumbnail", (Transaction(f"Retrieve {what} Thumbnail", "GET", _IMAGES, (), _RENDERED),))
    yield Resource(f"{path}/bulkdata", (Transaction(f"Retrieve {what} Bulkdata", accepts=_BYTES),))
    yield Resource(f"{path}/pixeldata", (Transaction(f"Retrieve {what} Pixel Data", accepts=_BYTES),))


_STUDY: Final = "studies/{study}"
_SERIES: Final = f"{_STUDY}/series/{{series}}"
_INSTANCE: Final = f"{_SERIES}/instances/{{instance}}"

RESOURCES: Final = (
    Resource("studies", (_search("Studies"), _store("Store Instances"))),
    Resource("series", (_search("Series"),)),
    Resource("instances", (_search("Instances"),)),
    Resource(
        "changefeed",
        (Transaction("Read Change Feed", "GET", ("application/json",), (), ("since", "limit", "metadata", "wait")),),
    ),
    Resource("changefeed/latest", (Transaction("Read Last Change", "GET", ("application/json",)),)),
    *_level("Study", _STUDY, _store("Store Study Instances")),
    Resource(f"{_STUDY}/series", (_search("Study Series"),)),
    Resource(f"{_STUDY}/instances", (_search("Study Instances"),)),
    *_level("Series", _SERIES),
    Resource(f"{_SERIES}/instances", (_search("Study Series Instances"),)),
    *_level("Instance", _INSTANCE),
    Resource(f"{_INSTANCE}/bulkdata/{{path}}", (Transaction("Retrieve Bulkdata", accepts=_BYTES),)),
    Resource(f"{_INSTANCE}/frames/{{frames}}", (Transaction("Retrieve Frames", accepts=_BYTES),)),
    Resource(
        f"{_INSTANCE}/frames/{{frames}}/rendered",
        (Transaction("Retrieve Rendered Frames", "GET", _IMAGES, (), _RENDERED),),
    ),
    Resource(
        f"{_INSTANCE}/frames/{{frames}}/thumbnail",
        (Transaction("Retrieve Frame Thumbnail", "GET", _IMAGES, (), _RENDERED),),
    ),
)


def find(path: str) -> Resource | None:
    """The resource at a path under the root, without a slash before it; None: there is no such resource."""
    return next((each for each in RESOURCES if each.pattern.fullmatch(path)), None)


@lru_cache(maxsize=16)
def wadl(base: str) -> bytes:
    """The Capabilities Description (PS3.18 H): a WADL document of the service at `base`."""
    application = Element("application", {"xmlns": _NAMESPACE})
    places = {"": SubElement(application, "resources", {"base": base})}
    for resource in RESOURCES:
        for transaction in resource.transactions:
            _write(transaction, _place(resource.path, places))
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(application, encoding="unicode").encode()


def listed(base: str) -> dict[str, Any]:
    """The same as plain JSON."""
    return {
        "base": base,
        "resources": [
            {
                "path": resource.path,
                "transactions": [
                    {"name": each.name, "method": each.method, "accept": each.accepts, "parameters": each.parameters}
                    | ({"contentType": each.sends} if each.sends else {})
                    for each in resource.transactions
                ],
            }
            for resource in RESOURCES
        ],
    }


def _place(path: str, places: dict[str, Element]) -> Element:
    """The element of a path, inside that of the path above it."""
    if path not in places:
        above, _, name = path.rpartition("/")
        places[path] = SubElement(_place(above, places), "resource", {"path": name})
        if _VARIABLE.fullmatch(name):
            SubElement(places[path], "param", {"name": name[1:-1], "style": "template", "required": "true"})
    return places[path]


def _write(transaction: Transaction, place: Element) -> None:
    identity = transaction.name.replace(" ", "")
    method = SubElement(place, "method", {"name": transaction.method, "id": identity})
    request = SubElement(method, "request")
    for header, values in (("Accept", transaction.accepts), ("Content-Type", transaction.sends)):
        if values:
            param = SubElement(request, "param", {"name": header, "style": "header", "default": values[0]})
            for value in values:
                SubElement(param, "option", {"value": value})
    for name in transaction.parameters:
        SubElement(request, "param", {"name": name, "style": "query"})
    response = SubElement(method, "response", {"status": "200" if transaction.accepts else "204"})
    for media_type in transaction.accepts:
        SubElement(response, "representation", {"mediaType": media_type})
