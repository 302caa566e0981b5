"""The formats of the log."""

from typing import Literal

LogFormat = Literal["console", "json"]
"""Lines for people, or an object of JSON a line."""
