"""Finds and repairs disagreements between database rows and files: `edgeface-finetune doctor`."""
