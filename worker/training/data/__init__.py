"""Faces as tensors: reading, preprocessing, augmentation, synthetic identities and batches."""
