"""The job that makes a dataset of an upload."""
