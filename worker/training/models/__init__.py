"""The two networks: EdgeFace recognises a face, DSR enlarges it."""
