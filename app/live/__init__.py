"""Server-sent events and answers that all readers of a job share, so that its rows are read once."""
