"""What runs a package inside Triton's python backend. It imports nothing of Plexus: NumPy, SciPy, a network's runtime.

It keeps to Python 3.10, which the official Triton images have.
"""
