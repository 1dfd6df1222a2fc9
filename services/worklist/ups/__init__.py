"""What the standard says of work items (PS3.4 CC, PS3.18 11), as values and pure rules.

`table` is the data; `checking` and `states` refuse; `reports` tells; `searching` matches; `making` and `following` say
how a job of ours looks as a work item.
"""
