"""What many read at once: the rows are read once for all of them."""
