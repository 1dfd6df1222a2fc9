"""The worklist by HTTP: jobs, the work items of UPS-RS, and their events."""
