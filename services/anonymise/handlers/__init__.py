"""The use cases: release what a job needs, hold what a person has to see, serve others, give the way back."""
