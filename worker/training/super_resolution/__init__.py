"""Training of a DSR (super-resolution) network from HR faces: stage 0, before the fine-tuning of EdgeFace."""
