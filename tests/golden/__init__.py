"""Numbers that a change of the training moves: compared in CI, so that every change shows what it moves."""
