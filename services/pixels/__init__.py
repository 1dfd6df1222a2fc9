"""What we see: frames decoded, encoded and rendered. Pure functions on arrays and bytes; no I/O, no network."""
