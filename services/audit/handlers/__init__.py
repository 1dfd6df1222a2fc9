"""What the audit log does, one module a kind: record, answer, sign, verify, prove, erase, forward."""
