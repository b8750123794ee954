"""What edgefleet can do, measured; `make bench` writes RESULTS.md. Each part prints markdown and asserts nothing.

Two that take long are run by themselves: `python -m benchmarks.soak` and `python -m benchmarks.outage_http`.
"""
