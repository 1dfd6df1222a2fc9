"""Who did what, and the proof that the log was not edited.

Owns: the log of accesses (schema `audit`): append-only, a Merkle tree of salted commitments (RFC 6962), signed as it
grows (C2SP tlog-tiles); the forms that other systems take it in, and how far each of them has got it.
Hears: `audit.recorded`, from every service.
Says: nothing; reading the log goes into the log before the answer goes out.
Never: changes or deletes a record (what one says can be erased, which is itself recorded), or holds a name: records
hold references, and the archive knows whose they are.
"""
