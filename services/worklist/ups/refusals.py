"""What is refused of a work item, with the status codes of PS3.4 CC.2 and the answers of PS3.18 11."""

from __future__ import annotations

from services.chassis.faults import PermanentFault


class WorkItemRefusedError(PermanentFault):
    """A request that a work item does not allow.

    Attributes:
        status: of HTTP.
        warning: text of the Warning header that PS3.18 asks for, or "".
    """

    def __init__(self, code: str, reason: str, *, status: int, warning: str = "") -> None:
        super().__init__(code, reason)
        self.status = status
        self.warning = warning

    @property
    def on_record(self) -> bool:
        """Whether somebody wanted what the work item's state or its lock does not allow: the log of accesses has it."""
        return self.code.startswith("C3") and self.status in {400, 409}


_NOT_IN_THIS_STATE = "The submitted request is inconsistent with the state of the UPS Instance."
_NOT_UPDATED_NOW = "The submitted request is inconsistent with the current state of the Workitem."
_NOT_CLAIMED = "The target URI did not reference a claimed Workitem."


def invalid(reason: str, warning: str = "") -> WorkItemRefusedError:
    """The data set does not do as Table CC.2.5-3 asks; `reason` names attributes, never values."""
    return WorkItemRefusedError("invalid-workitem", reason, status=400, warning=warning)


def unknown() -> WorkItemRefusedError:
    """There is no such work item."""
    return WorkItemRefusedError("C307", "there is no work item of this UID", status=404)


def gone() -> WorkItemRefusedError:
    """There was one: it ended, and has been deleted."""
    return WorkItemRefusedError("C307", "the work item ended and has been deleted", status=410)


def exists() -> WorkItemRefusedError:
    """There is one already."""
    return WorkItemRefusedError("0111", "a work item of this UID exists already", status=409)


def not_scheduled() -> WorkItemRefusedError:
    """It is to be created in another state."""
    return WorkItemRefusedError("C309", "a work item is created in the state SCHEDULED", status=400)


def in_wrong_state(code: str, reason: str) -> WorkItemRefusedError:
    """A state cannot follow the one that it is in (Table CC.1.1-2)."""
    return WorkItemRefusedError(code, reason, status=409, warning=_NOT_IN_THIS_STATE)


def wrong_transaction(given: str) -> WorkItemRefusedError:
    """A change of state without the Transaction UID, or with another one."""
    warning = "The Transaction UID is incorrect." if given else "The Transaction UID is missing."
    return WorkItemRefusedError("C301", "the correct Transaction UID was not provided", status=400, warning=warning)


def not_claimed() -> WorkItemRefusedError:
    """An update of one who does not perform it."""
    return WorkItemRefusedError(
        "C301", "the correct Transaction UID was not provided", status=400, warning=_NOT_CLAIMED
    )


def ended() -> WorkItemRefusedError:
    """An update of what has ended."""
    return WorkItemRefusedError(
        "C300", "the work item has ended and may no longer be updated", status=400, warning=_NOT_UPDATED_NOW
    )


def completed_already() -> WorkItemRefusedError:
    """A request to cancel what is completed (Table 11.8.3-1)."""
    return WorkItemRefusedError(
        "C311", "the work item is completed", status=409, warning="The UPS is already COMPLETED."
    )


def no_subscription() -> WorkItemRefusedError:
    """There is nothing to end."""
    return WorkItemRefusedError("no-such-subscription", "there is no such subscription", status=404)
