"""What fine-tuning brings on people it never saw: each recipe beside its baselines, at four sizes, on two data sets."""
