"""Load test of the API, alone and while a job trains: `python -m benchmarks.api`."""
