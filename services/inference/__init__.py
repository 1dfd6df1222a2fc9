"""The compute zone's one service: a de-identified series becomes a volume, Triton runs the model, the result is kept.

Owns nothing that lasts but its results, which lie in the work store under names made from the job: a job that is
delivered again finds its result there and only says so again. Hears `job.released` and, for when no job waits,
`shadow.requested`. Says `job.inferred`, `job.failed`, `job.progressed`, `shadow.compared` and `audit.recorded`. Knows
NATS, the work store and Triton; never the archive, the index, a patient or an original identifier, and holds no code of
any model.
"""
