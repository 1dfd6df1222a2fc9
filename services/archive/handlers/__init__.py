"""The archive's use cases, one module a kind. Each access says its audit record before it gives anything away."""
