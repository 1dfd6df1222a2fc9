"""The error tree is complete: every fault that may leave a handler has its status, and tells nothing."""

from __future__ import annotations

import inspect

from services.chassis.faults import Fault, PassingFault, PermanentFault
from services.ingest import errors
from services.store import errors as store_errors


def test_every_fault_has_an_http_status() -> None:
    own = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    statuses = {kind.__name__: errors.http_status(kind()) for kind in own}

    assert statuses == {
        "ProtocolFault": 400,
        "NotMultipart": 400,
        "EmptyRequest": 400,
        "IllegalStudy": 400,
        "IllegalUid": 400,
        "DeletionOff": 403,
        "NothingThere": 404,
        "UnsupportedMedia": 415,
    }
    assert errors.http_status(store_errors.IndexUnavailable("OSError")) == 503
    assert errors.http_status(store_errors.ObjectsUnavailable("OSError")) == 503


def test_every_fault_is_drawn_in_the_tree() -> None:
    for module in (errors, store_errors):
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__:
                assert issubclass(kind, Fault) and name in (module.__doc__ or "")
                assert issubclass(kind, (PassingFault, PermanentFault))
