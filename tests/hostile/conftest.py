"""What the tests with real processes share with those of tests/system."""

from tests.system.conftest import drawn_inputs, embedded

__all__ = ["drawn_inputs", "embedded"]
