"""Exit statuses of the commands: docs/operations.md lists them."""

CANNOT_START = 3
"""The command ends in the same way if it is called again: a person has to act first."""
