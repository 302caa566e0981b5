"""Recognition on the val split and the choice of the best epoch."""
