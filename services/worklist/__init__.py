"""Which model runs on what, and how each job stands.

Owns: jobs and their states, work items (UPS-RS) and who is told of them (schema `worklist`); whose turn it is; the
selection rules of the model cards, compiled.
Hears: `series.settled`, `job.released`, `job.inferred`, `job.completed`, `job.failed`, `job.cancelled`; overhears
`job.progressed`.
Says: `job.requested`, `job.cancelled`, `shadow.requested`, `audit.recorded`; `job.completed` of what is done outside.
Never: sees pixels, runs a model, or lets an event move a job that has ended back to work.
"""
