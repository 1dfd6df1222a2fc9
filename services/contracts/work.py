"""Where things lie in the work store. `anonymise`, `inference` and `encode` meet at these names.

A name is made from the job's id, which comes with an event: whoever takes an id from an event asks `is_job_id` first,
so that no name leads out of the job's own folder.
"""

from __future__ import annotations

import re

_JOB_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def is_job_id(text: str) -> bool:
    """Whether `text` may be a job's id, and so the name of a folder."""
    return _JOB_ID.fullmatch(text) is not None


def input_key(job_id: str, file: str) -> str:
    """A file of a job's de-identified input."""
    return f"jobs/{job_id}/input/{file}"


def manifest_key(job_id: str) -> str:
    """The list of a job's instances; where it is, all of them are."""
    return input_key(job_id, "manifest.json")


def result_key(job_id: str) -> str:
    """What a model said of a job's input."""
    return f"jobs/{job_id}/result.npz"


def stopped_key(job_id: str, attempt: int) -> str:
    """Where this is, the attempt at the job was stopped: nobody works on it any more."""
    return f"jobs/{job_id}/stopped-{attempt}"
