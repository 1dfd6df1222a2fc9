"""The worklist's settings: `PLEXUS_WORKLIST_*`."""

from __future__ import annotations

from pydantic import Field

from services.chassis.settings import BusSettings, DatabaseSettings, ServiceSettings, configured


class Settings(BusSettings, DatabaseSettings, ServiceSettings):
    """Read once, in `__main__`."""

    model_config = configured("worklist")

    http_port: int = 8104
    archive_address: str = "127.0.0.1:9103"
    catalogue_address: str = "127.0.0.1:9109"
    """The catalogue, which knows the version of each model that is in use."""
    heartbeat_seconds: float = 15.0
    """A stream of events that has nothing to say says so this often, so that nothing between closes it."""
    public_url: str = ""
    """Address of the edge, as clients know it: for the links in work items."""
    jobs_in_work: int = Field(default=8, ge=1)
    """So many jobs are in work at a time, from their request to their inference; the others wait for their turn."""
    patience_seconds: float = Field(default=900.0, gt=0)
    """A job that has waited so long counts as of the next higher priority, so that none waits for ever."""
    time_zone: str = ""
    """The site's clock, by which the schedules of model cards go, such as Europe/Berlin; else that of the machine."""
    workitem_days: float = Field(default=30.0, gt=0)
    """Work items that ended so long ago are deleted, unless a subscriber has locked them."""
