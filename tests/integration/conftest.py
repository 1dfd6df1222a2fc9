"""Parts that the tests of several files share."""

from tests.integration.worklist_parts import own_nats_url, worklist_mesh

__all__ = ["own_nats_url", "worklist_mesh"]
