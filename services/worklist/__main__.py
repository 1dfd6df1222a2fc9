"""Run the worklist: `python -m services.worklist`."""

from services.chassis.service import main
from services.worklist.bootstrap import build
from services.worklist.settings import Settings

if __name__ == "__main__":
    main("worklist", Settings, build)
