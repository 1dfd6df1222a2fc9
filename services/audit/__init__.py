"""Who did what, and the proof that the log was not edited.

Owns: the log of accesses (schema `audit`): append-only, each record chained to the one before by SHA-256.
Hears: `audit.recorded`, from every service.
Says: nothing; reading the log goes into the log before the answer goes out.
Never: changes or deletes a record, or holds a name: records hold references.
"""
