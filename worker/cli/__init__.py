"""The commands that need torch: train, evaluate, dsr-train, profile, weights and worker."""
