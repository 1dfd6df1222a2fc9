"""An object store by its URL: a folder or a bucket, the same code."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from obstore.store import LocalStore, from_url

from services.chassis.faults import PermanentFault

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class BucketKeysMissing(PermanentFault):
    """There is a bucket, and nothing to come to it with."""

    def __init__(self) -> None:
        super().__init__("bucket-keys-missing", "a bucket needs WORK_ACCESS_KEY and WORK_SECRET_KEY of this service")


@dataclass(frozen=True, slots=True)
class BucketKeys:
    """With what a service comes to a bucket, which is the service's own: see `services.chassis.settings.WorkSettings`.

    Attributes:
        endpoint: of a store that is not Amazon's.
    """

    access_key: str = ""
    secret_key: str = field(default="", repr=False)
    endpoint: str = ""
    region: str = ""


def open_bucket(url: str, keys: BucketKeys | None = None) -> ObjectStore:
    """The store at `url` (`file:///…`, `s3://…`); a folder is made if need be: services start in any order.

    Raises:
        BucketKeysMissing: a bucket without keys. Those that lie around in the environment are not taken: the zones
            have to have keys of their own.
    """
    parts = urlsplit(url)
    if parts.scheme == "file":
        return LocalStore(unquote(parts.path), mkdir=True)
    if keys is None or not (keys.access_key and keys.secret_key):
        raise BucketKeysMissing
    options: dict[str, Any] = {"access_key_id": keys.access_key, "secret_access_key": keys.secret_key}
    options |= {"region": keys.region or "us-east-1"}
    if keys.endpoint:
        options |= {"endpoint": keys.endpoint, "client_options": {"allow_http": keys.endpoint.startswith("http://")}}
    return from_url(url, **options)
