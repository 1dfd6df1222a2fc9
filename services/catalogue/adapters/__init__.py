"""Where the catalogue's ports meet PostgreSQL, Triton and the file system."""
