"""An uploaded archive becomes a dataset. All of it happens in a limited process: see app/isolated."""
