"""Which series a model takes: its card's selection rule, in CEL, checked before the first series comes.

Pure: it knows the data dictionary and no service. The catalogue checks rules with it, the worklist evaluates them.
"""
