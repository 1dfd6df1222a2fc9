"""What is fetched beside the Python packages of run.lock, each with its version and hash pinned."""
