"""Settings of the process itself: memory allocator, OpenMP threads and signals."""
