"""Benchmarks: Plexus beside its peers, on the same data, driven by the same client, in the same run.

Figures of one machine say little; ratios to a peer in the same minute say more. `python -m load_tests --help`.
"""
