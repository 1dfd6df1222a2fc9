"""What an association is offered: abstract and transfer syntaxes, roles and extensions (PS3.7 D.3.3, PS3.8 9.3)."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping

from pydicom.uid import UID
from pynetdicom import _config
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from services.bridge.information import SERVICES
from services.bridge.model import is_storage, known_syntaxes
from services.dicom.transfer_syntaxes import EXPLICIT_LITTLE_ENDIAN, IMPLICIT_LITTLE_ENDIAN

VERIFICATION_SOP_CLASS = "1.2.840.10008.1.1"
_UNCOMPRESSED = {EXPLICIT_LITTLE_ENDIAN: 0, IMPLICIT_LITTLE_ENDIAN: 1}


def quiet() -> None:
    """Keep pynetdicom from describing messages: its texts may quote a data set."""
    _config.LOG_HANDLER_LEVEL = "none"
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)


def offer(assoc: Association, *, accept_unknown: bool, services: Collection[str] = ()) -> None:
    """Accept of what the requestor proposes: verification, `services`, all storage in every transfer syntax we know.

    Made for each association from its own proposal: the full table (all classes in all syntaxes) would be copied for
    each, and could not hold the classes that nobody knows yet.
    """
    proposed: dict[str, list[str]] = {}
    for wanted in assoc.requestor.requested_contexts:
        proposed.setdefault(str(wanted.abstract_syntax), []).extend(map(str, wanted.transfer_syntax))
    receiving = {str(uid) for uid, role in assoc.requestor.role_selection.items() if role.scp_role}
    contexts = []
    for uid, every in proposed.items():
        if uid == VERIFICATION_SOP_CLASS:
            syntaxes = known_syntaxes(dict.fromkeys(every))
        elif uid in services:
            syntaxes = [syntax for syntax in dict.fromkeys(every) if syntax in _UNCOMPRESSED]
        elif is_storage(uid, accept_unknown=accept_unknown):
            syntaxes = known_syntaxes(dict.fromkeys(every))
            if uid in receiving:  # of a context with a choice, the one in which everything can be sent (C-GET)
                syntaxes.sort(key=lambda syntax: _UNCOMPRESSED.get(syntax, len(_UNCOMPRESSED)))
        else:
            continue
        if syntaxes:
            contexts.append(_context(uid, syntaxes, storage=uid != VERIFICATION_SOP_CLASS and uid not in services))
    assoc.acceptor.supported_contexts = contexts


def relational(app_info: Mapping[UID, bytes]) -> dict[UID, bytes]:
    """Accept relational queries and retrievals (PS3.4 C.5), and none of the other extensions."""
    return {uid: asked[:1] + bytes(len(asked) - 1) for uid, asked in app_info.items() if uid in SERVICES and asked}


def _context(abstract_syntax: str, transfer_syntaxes: list[str], *, storage: bool) -> PresentationContext:
    context = PresentationContext()
    context.abstract_syntax = abstract_syntax
    if storage:  # a peer that says so may be the SCP: it wants to receive by C-GET (PS3.7 D.3.3.4)
        context.scu_role = context.scp_role = True
    context.transfer_syntax = [*transfer_syntaxes]
    return context
