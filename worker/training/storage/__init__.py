"""Paths, digests and atomic writes of files."""
