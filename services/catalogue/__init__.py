"""Which models there are, in which versions, and which of them serve.

Owns: model packages (immutable once they are published), their states, which version is active and which one runs
beside it in shadow, what came of that in figures (schema `catalogue`), what Triton has loaded,
and the environments of packages.
Hears: `shadow.compared`.
Says: `audit.recorded`.
Never: sees a study, runs an author's code in its own process, or takes a version out of use before its successor
answers.
"""
