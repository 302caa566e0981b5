"""The check of a dataset: every image is read once, and what the reading shows goes into the dataset's record."""
