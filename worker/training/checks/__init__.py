"""Checks of dataset and training: leaks, equal identities, collapse and overfitting."""
