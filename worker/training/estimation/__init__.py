"""The duration and the memory of a run, predicted from some of its steps."""
