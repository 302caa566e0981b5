"""Finds what disagrees between rows and files, and mends it: `edgeface-finetune doctor`."""
