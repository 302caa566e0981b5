"""Resolves the names that a config gives to files in the configured roots, and checks those files."""
