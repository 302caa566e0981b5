"""What is fast, measured: each `python -m benchmarks.NAME --json FILE [--check] [--quick]`."""
