"""The HTTP edge: the log asked, and its tree for those who check it."""
