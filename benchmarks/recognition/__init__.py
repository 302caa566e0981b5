"""Recognition of unseen people: each recipe and its baselines, at four face sizes, on two datasets."""
