"""What a job is and may do. The API and the worker both stand on it; it knows no HTTP, no queue and no torch."""
