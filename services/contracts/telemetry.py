"""Names of the spans and attributes that we write. Telemetry is a contract: `tests/telemetry` asserts it.

No attribute here can hold PHI: job ids, digests, counts, model names and reason codes only.
"""

JOB_ID = "plexus.job.id"
MODEL = "plexus.model.name"
MODEL_VERSION = "plexus.model.version"
INSTANCES = "plexus.instances"
BYTES = "plexus.bytes"
OUTCOME = "plexus.outcome"
REASON_CODE = "plexus.reason_code"
DELIVERY_ID = "plexus.delivery.id"
REVISION = "plexus.series.revision"
STEP = "plexus.job.step"
MEAN_OF = "plexus.mean_of"

SPAN_ASSOCIATION = "dimse association"
SPAN_C_STORE = "dimse C-STORE"
SPAN_C_FIND = "dimse C-FIND"
SPAN_C_MOVE = "dimse C-MOVE"
SPAN_C_GET = "dimse C-GET"
SPAN_N_ACTION = "dimse N-ACTION"
SPAN_SEND_RESULTS = "bridge send results"
SPAN_STORE = "ingest store"
SPAN_SETTLE = "ingest settle"
SPAN_SELECT = "worklist select"
SPAN_ADMIT = "worklist admit"
SPAN_EXPIRE = "worklist expire"
SPAN_DEIDENTIFY = "anonymise deidentify"
SPAN_ASSEMBLE = "inference assemble"
SPAN_INFER = "inference infer"
SPAN_SHADOW = "worklist shadow"
SPAN_COMPARE = "inference compare"
SPAN_TRITON_QUEUE = "triton queue"
SPAN_TRITON_INPUT = "triton input"
SPAN_TRITON_COMPUTE = "triton compute"
SPAN_TRITON_OUTPUT = "triton output"
SPAN_KEEP_RESULT = "inference keep result"


def span_of_document(kind: str) -> str:
    """The span in which `encode` makes the documents of a kind, such as `encode SEG`."""
    return f"encode {kind}"
