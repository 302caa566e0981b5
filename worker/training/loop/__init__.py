"""The training loop: the setup of a run, its stages, its steps, its state and its recovery."""
