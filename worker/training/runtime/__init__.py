"""Device, precision, memory, threads, progress and the signals that stop a run."""
