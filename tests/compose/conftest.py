"""The faces and weights of the system tests."""

from tests.system.conftest import drawn_inputs

__all__ = ["drawn_inputs"]
