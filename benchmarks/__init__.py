"""Benchmarks of speed and recognition. Each runs as `python -m benchmarks.NAME --json FILE [--check] [--quick]`."""
