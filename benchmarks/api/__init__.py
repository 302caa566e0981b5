"""The API under many readers and many requests, alone and while a job trains: `python -m benchmarks.api`."""
