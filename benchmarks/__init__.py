"""What edgefleet can do, measured; `make bench` writes RESULTS.md. Each part prints markdown and asserts nothing."""
