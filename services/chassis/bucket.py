"""An object store by its URL: a folder or a bucket, the same code."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from obstore.store import LocalStore, from_url

if TYPE_CHECKING:
    from obstore.store import ObjectStore


def open_bucket(url: str) -> ObjectStore:
    """The store at `url` (`file:///…`, `s3://…`); a folder is made if need be: services start in any order."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return LocalStore(unquote(parts.path), mkdir=True)
    return from_url(url)
