"""Uploads, through the API."""
