"""The contract of a fine-tuning: its config, its dataset, its weights files and the errors they can cause."""
