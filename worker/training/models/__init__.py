"""The two networks: EdgeFace embeds a face, DSR (super-resolution) enlarges it."""
