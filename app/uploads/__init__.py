"""Uploads: files received over HTTP in parts, kept until they become a dataset or weights."""
