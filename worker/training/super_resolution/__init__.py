"""Training of a DSR network from HR faces: stage 0, before EdgeFace is fine-tuned on what it makes."""
